"""The market of the soak: what buyers, the mall and operators can do. Every call becomes an operation of the history."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from temporalio.client import Client
from temporalio.service import RPCError

from embedded.demo_data import CHANNEL
from tests.api.caller import Answer, Caller
from tests.api.shop import Json, moment, moment_of
from tests.soak.history import Operation, Outcome
from tests.soak.platform import SOURCE, Platform

BLOCKED_CHANNEL = "c02"
LEFT_OUT = frozenset({"members", "workflow", "title", "type", "errors", "data"})
"""of an answer: what no rule reads"""
NO_ANSWER = (aiohttp.ClientError, TimeoutError, ConnectionError)
UNKNOWN = {"temporarily_unavailable", "internal_error"}
TRIES = 8
AGAIN_AFTER = 0.25
PREPARES = 200
GOODS = {"name": "A book", "original_price": "100.00"}

SHAPES: Mapping[str, Json] = {
    "pair": {
        "target_count": 2,
        "take_limit": 3,
        "merchant_share": 33,
        "lock_ttl": 2,
        "payment_grace": 1,
        "team_ttl": 9,
        "refund_window": 5,
    },
    "trio": {
        "target_count": 3,
        "min_count": 2,
        "take_limit": 2,
        "lock_ttl": 2,
        "payment_grace": 0,
        "team_ttl": 5,
        "refund_window": 4,
    },
    "crowd": {"target_count": 5, "take_limit": 1, "lock_ttl": 3, "payment_grace": 1, "team_ttl": 9, "refund_window": 3600},
    "scarce": {
        "target_count": 2,
        "stock": 4,
        "take_limit": 4,
        "lock_ttl": 2,
        "payment_grace": 0,
        "team_ttl": 5,
        "refund_window": 2,
    },
    "brief": {"target_count": 3, "min_count": 1, "lock_ttl": 1, "payment_grace": 0, "team_ttl": 2, "refund_window": 1},
}


@dataclass(frozen=True)
class Offer:
    campaign_id: int
    goods_id: str
    shape: str
    target_count: int
    grace: int


@dataclass
class Market:
    platform: Platform
    tempo: int = 1
    """by how much every time of the campaigns is longer"""
    operations: list[Operation] = field(default_factory=list)
    begun: int = 0
    offers: dict[str, Offer] = field(default_factory=dict)
    recent: list[Json] = field(default_factory=list)
    """orders of the latest teams, for whoever interferes"""
    clock_step: float = 0.0
    _numbers: int = 0

    # --- names ---

    def fresh(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}-{self._numbers}"

    # --- the mall and its buyers ---

    async def lock(
        self,
        offer: Offer,
        *,
        team: Json | None = None,
        user: str = "",
        number: str = "",
        mood: str = "yes",
        tries: int = TRIES,
        channel: str = CHANNEL,
    ) -> Json | None:
        """The order, or None where there is none for sure, or nobody knows."""
        request: Json = {
            "out_trade_no": number or self.fresh("trade"),
            "user_id": user or self.fresh("buyer"),
            "goods_id": offer.goods_id,
            "channel": channel,
            "campaign_id": offer.campaign_id,
            "callback": self.platform.callback(mood),
        }
        if team is not None:
            request["team_id"] = team["team_id"]
        done = await self._insist("lock", request["out_trade_no"], tries, self.platform.mall, "/v1/orders", request)
        if done.outcome is not Outcome.OK:
            return None
        order = {**done.answer, "grace": offer.grace}
        self.recent = [*self.recent[-39:], order]
        return order

    async def pay(self, order: Json, amount: str = "", tries: int = TRIES) -> Operation:
        paid_at = moment(timedelta(seconds=self.clock_step))
        report = {"amount": amount or order["pay_price"], "paid_at": paid_at}
        number = order["out_trade_no"]
        return await self._insist("pay", number, tries, self.platform.mall, f"/v1/orders/{number}/payment", report)

    async def refund(self, order: Json, tries: int = TRIES) -> Operation:
        number = order["out_trade_no"]
        return await self._insist("refund", number, tries, self.platform.mall, f"/v1/orders/{number}/refund", {})

    async def read(self, order: Json) -> Operation:
        number = order["out_trade_no"]
        return await self.record("read", number, {}, lambda: self.platform.mall.get(f"/v1/orders/{number}"))

    async def resend(self, event_id: str, *, by_mall: bool) -> Operation:
        caller, path = (self.platform.mall, "/v1/events") if by_mall else (self.platform.ops, "/v1/ops/callbacks")
        return await self._insist("resend", event_id, 3, caller, f"{path}/{event_id}/resend", None)

    async def dead_events(self) -> list[str]:
        """The latest events that were given up."""
        try:
            listed = await self.platform.ops.get("/v1/ops/callbacks", source=SOURCE, status="dead", limit=20)
        except NO_ANSWER:
            return []
        return [each["event_id"] for each in listed.body["data"]] if listed.status == 200 else []

    # --- operators ---

    async def team_act(self, order: Json, act: str, tries: int = 3) -> Operation:
        """`extend`, `complete` or `close`."""
        team, body = order["team_id"], {"minutes": 1} if act == "extend" else {"reason": "a whim"}
        return await self._insist(act, team, tries, self.platform.ops, f"/v1/ops/teams/{team}/{act}", body)

    async def force_refund(self, order: Json, *, force: bool = True) -> Operation:
        path = f"/v1/ops/orders/{order['order_id']}/refund"
        return await self._insist("force_refund", order["out_trade_no"], TRIES, self.platform.ops, path, {"force": force})

    async def refund_act(self, order: Json, act: str, **body: object) -> Operation:
        """`decision`, `resend` or `close_manually`."""
        path = f"/v1/ops/refunds/{order['order_id']}/{act}"
        return await self._insist(f"refund_{act}", order["out_trade_no"], 3, self.platform.ops, path, body)

    async def resend_range(self, since: datetime, status: str = "dead") -> Operation:
        body = {"source": SOURCE, "since": since.isoformat(), "until": moment(timedelta(seconds=1)), "status": status}
        return await self._insist("resend_range", status, 3, self.platform.ops, "/v1/ops/callbacks/resend", body)

    async def shut_down(self, offer: Offer) -> Operation:
        path = f"/v1/ops/campaigns/{offer.campaign_id}/ending?confirm=true"
        return await self._insist("shut_down", str(offer.campaign_id), TRIES, self.platform.ops, path, {"reason": "spoilt"})

    async def block(self, *, blocked: bool) -> Operation:
        value = [{"source": SOURCE, "channel": BLOCKED_CHANNEL}] if blocked else []
        for _ in range(TRIES):
            done = await self.record(
                "block", str(blocked), {}, lambda: self.platform.ops.put("/v1/ops/switches/blocked", {"value": value})
            )
            if done.outcome is not Outcome.UNKNOWN:
                break
            await asyncio.sleep(AGAIN_AFTER)
        return done

    async def cancel_workflow(self, workflow_id: str, subject: str) -> Operation:
        return await self._ask_temporal("cancel", subject, lambda temporal: temporal.get_workflow_handle(workflow_id).cancel())

    async def terminate_workflow(self, workflow_id: str, subject: str) -> Operation:
        return await self._ask_temporal(
            "terminate", subject, lambda temporal: temporal.get_workflow_handle(workflow_id).terminate("somebody's mistake")
        )

    async def sell(self, shape: str) -> Offer:
        """New goods in a new campaign; this is prepared beside the lines, and is no operation."""
        fields = {
            name: value * self.tempo if name in {"lock_ttl", "team_ttl", "refund_window"} else value
            for name, value in SHAPES[shape].items()
        }
        for _ in range(PREPARES):
            with suppress(*NO_ANSWER):
                goods_id = self.fresh("goods")
                goods = await self.platform.direct_ops.put(f"/v1/ops/goods/{goods_id}", GOODS)
                if goods.status == 200:
                    campaign = {**fields, **_campaign(shape, goods_id)}
                    made = await self.platform.direct_ops.post("/v1/ops/campaigns?confirm=true", campaign)
                    if made.status == 201:
                        return Offer(made.body["campaign_id"], goods_id, shape, fields["target_count"], fields["payment_grace"])
            await asyncio.sleep(AGAIN_AFTER)
        raise TimeoutError(f"no campaign {shape} could be made")

    # --- how it is done ---

    async def until_lapsed(self, order: Json, more: float = 0.3) -> None:
        """Until the order's window and grace are over."""
        ends = moment_of(order["lock_expires_at"]) + timedelta(seconds=order["grace"] + more)
        await asyncio.sleep(max((ends - datetime.now(UTC)).total_seconds(), 0))

    async def record(self, kind: str, subject: str, request: Json, call: Callable[[], Awaitable[Answer]]) -> Operation:
        number, began = self._begin(), time.time()
        outcome, code, answer = Outcome.UNKNOWN, "", {}
        try:
            async with asyncio.timeout(20):
                got = await call()
        except NO_ANSWER as failure:
            code = type(failure).__name__
        else:
            body = got.body if isinstance(got.body, dict) else {}
            code = got.code or str(got.status)
            answer = _kept(body)
            outcome = Outcome.OK if got.status < 300 else Outcome.UNKNOWN if code in UNKNOWN else Outcome.REFUSED
        return self._end(number, kind, subject, request, began, outcome, code, answer)

    async def _insist(self, kind: str, subject: str, tries: int, caller: Caller, path: str, body: Any) -> Operation:  # noqa: ANN401
        """The same call again and again, as a mall repeats it, until somebody knows what came of it."""
        for attempt in range(tries):
            done = await self.record(kind, subject, body or {}, lambda: caller.post(path, body))
            if done.outcome is not Outcome.UNKNOWN:
                break
            await asyncio.sleep(AGAIN_AFTER * (attempt + 1))
        return done

    async def _ask_temporal(self, kind: str, subject: str, ask: Callable[[Client], Awaitable[None]]) -> Operation:
        number, began = self._begin(), time.time()
        try:
            async with asyncio.timeout(5):
                await ask(self.platform.temporal)
        except RPCError as failure:
            is_known = failure.status.name == "NOT_FOUND"
            outcome, code = Outcome.REFUSED if is_known else Outcome.UNKNOWN, failure.status.name
        except TimeoutError:
            outcome, code = Outcome.UNKNOWN, "TimeoutError"
        else:
            outcome, code = Outcome.OK, "200"
        return self._end(number, kind, subject, {}, began, outcome, code, {})

    def _begin(self) -> int:
        self.begun += 1
        return self.begun

    def _end(
        self, number: int, kind: str, subject: str, request: Json, began: float, outcome: Outcome, code: str, answer: Json
    ) -> Operation:
        done = Operation(
            number=number,
            kind=kind,
            subject=subject,
            request=request,
            began=began,
            ended=time.time(),
            outcome=outcome,
            code=code,
            answer=answer,
        )
        self.operations.append(done)
        return done


def _campaign(name: str, goods_id: str) -> Json:
    return {
        "name": name,
        "status": "active",
        "starts_at": moment(-timedelta(days=1)),
        "ends_at": moment(timedelta(days=1)),
        "goods": [{"source": SOURCE, "channel": channel, "goods_id": goods_id} for channel in (CHANNEL, BLOCKED_CHANNEL)],
        "discount": {"plan": "cut", "expr": "20"},
    }


def _kept(body: Json) -> Json:
    return {name: _kept(value) if isinstance(value, dict) else value for name, value in body.items() if name not in LEFT_OUT}
