"""The client of the platform's public API, with the mall's key."""

import asyncio
import json
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, JsonValue, ValidationError

_REQUEST_SECONDS = 10.0  # the platform answers within 8
_ATTEMPTS = 4  # of a write whose outcome is unknown; every write is idempotent
_PAUSE_SECONDS = 0.5

# The API's answers, as far as the mall reads them.


class Workflow(BaseModel):
    id: str
    url: str | None = None


class Quote(BaseModel):
    campaign_id: int
    goods_name: str
    original_price: Decimal
    deduction: Decimal
    pay_price: Decimal
    target_count: int
    visible: bool
    joinable: bool
    reasons: list[str]


class Member(BaseModel):
    user_id: str


class OpenTeam(BaseModel):
    """A team that can be joined."""

    team_id: str
    target_count: int
    lock_count: int
    complete_count: int
    deadline: datetime
    mine: bool
    members: list[Member]


class Statistics(BaseModel):
    team_count: int
    completed_team_count: int
    user_count: int


class Market(BaseModel):
    quote: Quote
    teams: list[OpenTeam]
    statistics: Statistics


class Order(BaseModel):
    out_trade_no: str
    user_id: str
    team_id: str
    goods_id: str
    status: str
    pay_price: Decimal
    locked_at: datetime
    lock_expires_at: datetime
    cancel_reason: str | None
    workflow: Workflow | None


class Orders(BaseModel):
    data: list[Order]


class Team(BaseModel):
    team_id: str
    status: str
    target_count: int
    lock_count: int
    complete_count: int
    deadline: datetime


class Refund(BaseModel):
    kind: str
    status: str
    reason: str
    amount: Decimal
    workflow: Workflow | None


class Settlement(BaseModel):
    outcome: str
    reason: str | None = None


class PlatformError(Exception):
    """Its message is shown to the buyer."""


class PlatformRefusal(PlatformError):
    """The platform refused the request."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.status = status
        self.code = code


class PlatformUnavailable(PlatformError):
    """No answer, or a retryable one: the same request may be sent again."""


AnswerT = TypeVar("AnswerT", bound=BaseModel)


class Platform:
    def __init__(self, base_url: str, key: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key

    async def open(self) -> None:
        """Must be called in the event loop that makes the calls."""
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS), headers={"Authorization": f"Bearer {self._key}"}
        )

    async def close(self) -> None:
        await self._http.close()

    async def market(self, goods_id: str, channel: str, user_id: str) -> Market:
        return await self._read(Market, "/v1/market", goods_id=goods_id, channel=channel, user_id=user_id)

    async def orders(self, user_id: str, limit: int) -> list[Order]:
        """Newest first."""
        return (await self._read(Orders, "/v1/orders", user_id=user_id, limit=str(limit))).data

    async def order(self, out_trade_no: str) -> Order:
        return await self._read(Order, f"/v1/orders/{quote(out_trade_no, safe='')}")

    async def team(self, team_id: str) -> Team:
        return await self._read(Team, f"/v1/teams/{quote(team_id, safe='')}")

    async def find_refund(self, out_trade_no: str) -> Refund | None:
        try:
            return await self._read(Refund, f"/v1/orders/{quote(out_trade_no, safe='')}/refund")
        except PlatformRefusal as refusal:
            if refusal.code == "refund_not_found":
                return None
            raise

    async def lock(self, request: dict[str, JsonValue]) -> Order:
        return await self._write(Order, "/v1/orders", request)

    async def pay(self, out_trade_no: str, amount: Decimal, paid_at: datetime) -> Settlement:
        report: dict[str, JsonValue] = {"amount": str(amount), "paid_at": paid_at.isoformat()}
        return await self._write(Settlement, f"/v1/orders/{quote(out_trade_no, safe='')}/payment", report)

    async def request_refund(self, out_trade_no: str, reason: str) -> Refund:
        return await self._write(Refund, f"/v1/orders/{quote(out_trade_no, safe='')}/refund", {"reason": reason})

    async def _read(self, expected: type[AnswerT], path: str, **query: str) -> AnswerT:
        return await self._call(expected, "GET", path, params=query)

    async def _write(self, expected: type[AnswerT], path: str, body: dict[str, JsonValue]) -> AnswerT:
        """Repeats a request whose outcome is unknown: it names the out_trade_no, so a repeat gets the first one's result."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._call(expected, "POST", path, json=body)
            except PlatformUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)
        return await self._call(expected, "POST", path, json=body)

    async def _call(self, expected: type[AnswerT], method: str, path: str, **sent: Any) -> AnswerT:  # noqa: ANN401 - aiohttp's
        try:
            async with self._http.request(method, self._base_url + path, **sent) as response:
                text = await response.text()
        except (TimeoutError, aiohttp.ClientError) as error:
            raise PlatformUnavailable(f"the platform at {self._base_url} does not answer") from error
        if response.status >= 400:
            raise _error(response.status, text)
        try:
            return expected.model_validate_json(text)
        except ValidationError as error:
            raise PlatformError(f"{method} {path}: an answer of unknown form") from error


class _Problem(BaseModel):
    code: str = "unknown"
    detail: str = ""
    retryable: bool = False


def _error(status: int, text: str) -> PlatformError:
    try:
        problem = _Problem.model_validate(json.loads(text))
    except ValueError:
        problem = _Problem(detail=f"HTTP {status}", retryable=status >= 500)
    if problem.retryable:
        return PlatformUnavailable(f"{problem.code}: {problem.detail}")
    return PlatformRefusal(status, problem.code, problem.detail)
