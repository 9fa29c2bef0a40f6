"""A mall of the original system, of either generation: what it sends, and how strictly it reads the answers."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from embedded.demo_data import CHANNEL, SOURCE
from tests.api.caller import Answer, Caller
from tests.api.shop import Json, Offer, fresh

BASE = "/api/v1/gbm"
CONFIG, LOCK = f"{BASE}/index/query_group_buy_market_config", f"{BASE}/trade/lock_market_pay_order"
SETTLE, REFUND = f"{BASE}/trade/settlement_market_pay_order", f"{BASE}/trade/refund_market_pay_order"
UPDATE_CONFIG = f"{BASE}/dcc/update_config"
NOWHERE = "http://127.0.0.1:9/group_buy_notify"
"""a registered host where nobody listens"""


def enveloped(answer: Answer, code: str = "0000") -> Any:  # noqa: ANN401
    """The data of an answer with this code, in the envelope that every answer has."""
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.body) == {"code", "info", "data"}
    assert answer.body["code"] == code, answer.body
    assert answer.body["info"]
    assert isinstance(answer.body["info"], str)
    return answer.body["data"]


def lock_request(offer: Offer, **fields: object) -> Json:
    return {
        "userId": fresh("user"),
        "teamId": "",
        "activityId": offer.campaign_id,
        "goodsId": offer.goods_id,
        "source": SOURCE,
        "channel": CHANNEL,
        "outTradeNo": fresh("t")[-12:],
        "notifyConfigVO": {"notifyType": "HTTP", "notifyUrl": NOWHERE},
        **fields,
    }


def earlier_lock_request(offer: Offer, notify_url: str = NOWHERE, **fields: object) -> Json:
    """As the earlier generation sends it."""
    request = lock_request(offer, **{"teamId": None, "notifyUrl": notify_url, **fields})
    del request["notifyConfigVO"]
    return request


def _read(fields: type[BaseModel], data: Any) -> Any:  # noqa: ANN401
    """The data, which is readable to the malls."""
    if data is not None:
        fields.model_validate(data)
    return data


class Strict(BaseModel):
    """As the malls' parsers read: an unknown field is an error, and a number is no text."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class EarlierLocked(Strict):
    order_id: str
    original_price: float
    deduction_price: float
    pay_price: float
    trade_order_status: int


class Locked(EarlierLocked):
    team_id: str


class Settled(Strict):
    user_id: str
    team_id: str
    activity_id: int
    out_trade_no: str


class Refunded(Strict):
    user_id: str
    order_id: str
    team_id: str
    code: str
    info: str


class Goods(Strict):
    goods_id: str
    original_price: float
    deduction_price: float
    pay_price: float


class Team(Strict):
    user_id: str
    team_id: str
    activity_id: int
    target_count: int
    complete_count: int
    lock_count: int
    valid_start_time: str
    valid_end_time: str
    valid_time_countdown: str
    out_trade_no: str | None


class Statistic(Strict):
    all_team_count: int
    all_team_complete_count: int
    all_team_user_count: int


class Config(Strict):
    activity_id: int
    goods: Goods
    team_list: list[Team]
    team_statistic: Statistic


class OldMall:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def url(self) -> str:
        return self._caller.base_url

    async def post(self, path: str, body: object) -> Answer:
        return await self._caller.post(path, body)

    async def call(self, method: str, path: str, **content: Any) -> Answer:  # noqa: ANN401
        return await self._caller.call(method, path, **content)

    async def lock(self, asked: Json, code: str = "0000") -> Any:  # noqa: ANN401
        fields = Locked if asked.get("notifyConfigVO") else EarlierLocked
        return _read(fields, enveloped(await self.post(LOCK, asked), code))

    async def settle(self, asked: Json, code: str = "0000", **fields: object) -> Any:  # noqa: ANN401
        body = self._of(asked) | {"outTradeTime": 1795514400000} | fields
        return _read(Settled, enveloped(await self.post(SETTLE, body), code))

    async def refund(self, asked: Json, code: str = "0000", **fields: object) -> Any:  # noqa: ANN401
        return _read(Refunded, enveloped(await self.post(REFUND, self._of(asked) | fields), code))

    async def config(self, offer: Offer, user: str, code: str = "0000") -> Any:  # noqa: ANN401
        asked = {"userId": user, "source": SOURCE, "channel": CHANNEL, "goodsId": offer.goods_id}
        return _read(Config, enveloped(await self.post(CONFIG, asked), code))

    async def update_config(self, key: str, value: str, code: str = "0000") -> Any:  # noqa: ANN401
        return enveloped(await self.call("GET", UPDATE_CONFIG, params={"key": key, "value": value}), code)

    @staticmethod
    def _of(asked: Json) -> Json:
        return {name: asked[name] for name in ("source", "channel", "userId", "outTradeNo")}
