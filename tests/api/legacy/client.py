"""A mall of the original system: what it sends, and what it makes of the answers."""

from typing import Any

from embedded.demo_data import CHANNEL, SOURCE
from tests.api.caller import Answer
from tests.api.shop import Json, Offer, Shop, fresh

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


class OldMall:
    def __init__(self, shop: Shop) -> None:
        self._caller = shop.mall.with_key(None)

    async def post(self, path: str, body: object) -> Answer:
        return await self._caller.post(path, body)

    async def call(self, method: str, path: str, **content: Any) -> Answer:  # noqa: ANN401
        return await self._caller.call(method, path, **content)

    async def lock(self, asked: Json, code: str = "0000") -> Any:  # noqa: ANN401
        return enveloped(await self.post(LOCK, asked), code)

    async def settle(self, asked: Json, code: str = "0000", **fields: object) -> Any:  # noqa: ANN401
        return enveloped(await self.post(SETTLE, self._of(asked) | {"outTradeTime": 1795514400000} | fields), code)

    async def refund(self, asked: Json, code: str = "0000", **fields: object) -> Any:  # noqa: ANN401
        return enveloped(await self.post(REFUND, self._of(asked) | fields), code)

    async def config(self, offer: Offer, user: str, code: str = "0000") -> Any:  # noqa: ANN401
        asked = {"userId": user, "source": SOURCE, "channel": CHANNEL, "goodsId": offer.goods_id}
        return enveloped(await self.post(CONFIG, asked), code)

    async def update_config(self, key: str, value: str, code: str = "0000") -> Any:  # noqa: ANN401
        return enveloped(await self.call("GET", UPDATE_CONFIG, params={"key": key, "value": value}), code)

    @staticmethod
    def _of(asked: Json) -> Json:
        return {name: asked[name] for name in ("source", "channel", "userId", "outTradeNo")}
