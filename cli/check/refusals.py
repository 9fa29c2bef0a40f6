"""What must be refused, and what must be answered again as it was."""

from collections.abc import Awaitable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import BaseModel, JsonValue

from cli.demo.client import JourneyError, RefusedError, require
from cli.demo.receiving_mall import ReceivingMall
from cli.demo.schemas import Order, Orders, Payment, Refund
from cli.demo.session import CHANNEL, Session


class Attention(BaseModel):
    kind: str
    subject: str
    source: str
    since: datetime
    detail: str


class AttentionList(BaseModel):
    data: list[Attention]


class Resolved(BaseModel):
    changed: bool


class FeedEvent(BaseModel):
    event_id: str
    sequence: int


class Feed(BaseModel):
    data: list[FeedEvent]


class RefusalsAndRepeats:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def play(self) -> None:
        session, narrator = self._session, self._session.narrator
        await narrator.step("Requests without a right are refused")
        orders = "/v1/orders?user_id=nobody"
        await self._refused(
            "a request without a key", "unauthorized", replace(session.api, key=None).call(Orders, "GET", orders)
        )
        wrong = replace(session.api, key="gb_mall_wrong").call(Orders, "GET", orders)
        await self._refused("a request with a wrong key", "unauthorized", wrong)
        await self._refused(
            "a mall's key for operations", "forbidden", session.api.call(AttentionList, "GET", "/v1/ops/attention")
        )
        await self._refused("another mall's order", "order_not_found", session.order("nobody-has-this-number"))

        await narrator.step("Requests that break a rule are refused")
        opener = (await session.lock("rosa")).body
        await self._refused("an unknown field", "invalid_request", self._lock(opener, colour="red"))
        await self._refused("unknown goods", "goods_not_found", session.lock("sam", goods_id=f"{session.goods_id}-unknown"))
        await self._refused(
            "a second seat in a team", "already_in_team", self._lock(opener, out_trade_no=f"{opener.out_trade_no}-2")
        )
        another_team = self._lock(opener, out_trade_no=f"{opener.out_trade_no}-3", team_id=None)
        await self._refused("more orders than the take limit", "take_limit_reached", another_team)
        other = self._lock(opener, user_id=session.user("tom"))
        await self._refused("a number that another order has", "out_trade_no_reused", other)

        await self._repeated_payment(opener)
        await self._second_amount(opener)
        await self._wrong_amount(opener)

    async def feed_agrees(self, malls: Collection[ReceivingMall]) -> None:
        """Requires that the feed has what these malls received, in order and without gaps."""
        session = self._session
        await session.narrator.step("The feed has every callback, in order and without gaps")
        received = {callback.event_id: callback.sequence for mall in malls for callback in mall.received}
        after = first = min(received.values(), default=1) - 1
        found: dict[str, int] = {}
        while page := (await session.api.call(Feed, "GET", f"/v1/events?after={after}&limit=100")).body.data:
            require("the sequences in the feed", [event.sequence for event in page], [*range(after + 1, after + 1 + len(page))])
            found |= {event.event_id: event.sequence for event in page}
            after = page[-1].sequence
        missing = {event_id for event_id, sequence in received.items() if found.get(event_id) != sequence}
        if missing:
            raise JourneyError(f"{len(missing)} callbacks are not in the feed as they were sent, among them {min(missing)}")
        await session.narrator.line(f"{len(received)} callbacks, sequences {first + 1} to {after}")

    async def nothing_needs_an_operator(self, since: datetime) -> None:
        session = self._session
        await session.narrator.step("Nothing of this check needs an operator")
        listed = (await session.ops.call(AttentionList, "GET", "/v1/ops/attention?limit=100")).body.data
        ours = [each for each in listed if each.source == session.shop.source and each.since >= since]
        if ours:
            raise JourneyError(
                f"{len(ours)} things need an operator, the first: {ours[0].kind} {ours[0].subject}: {ours[0].detail}"
            )

    async def _repeated_payment(self, order: Order) -> None:
        session = self._session
        await session.narrator.step("The same payment again has the same answer")
        await session.pay("rosa", order)
        again = await self._pay(order, order.pay_price)
        if again.outcome != "settled":
            raise JourneyError(f"the repeat of a payment was answered {again.outcome}")

    async def _second_amount(self, order: Order) -> None:
        """Another amount for a paid order is refused, kept for an operator, and settled by one."""
        session = self._session
        await session.narrator.step("A second, different amount is refused, and an operator settles it")
        await self._refused("another amount", "out_trade_no_reused", self._pay(order, order.pay_price - Decimal("0.01")))
        listed = (await session.ops.call(AttentionList, "GET", "/v1/ops/attention?limit=100")).body.data
        if not any((each.kind, each.subject) == ("payment_conflict", order.order_id) for each in listed):
            raise JourneyError(f"the second amount of {order.out_trade_no} is not shown to operators")
        path = f"/v1/ops/attention/payment_conflict/{order.order_id}/resolve"
        settled = (await session.ops.call(Resolved, "POST", path, {"note": "made by groupbuy check"})).body
        require("whether the conflict was settled now", settled.changed, expected=True)

    async def _wrong_amount(self, opener: Order) -> None:
        session = self._session
        await session.narrator.step("A payment of a wrong amount goes back, and the seat with it")
        uma = (await session.lock("uma", opener.team_id)).body
        payment = await self._pay(uma, uma.pay_price + 1)
        require("the outcome", f"{payment.outcome}, {payment.reason}", "refunding, amount_mismatch")
        await session.callbacks(uma.team_id, ("order.refunded", uma.out_trade_no))
        path = f"/v1/orders/{uma.out_trade_no}/refund"

        async def read() -> Refund:
            return (await session.api.call(Refund, "GET", path)).body

        refund = await session.until("uma's refund to be done", read, lambda refund: refund.status == "done")
        require("the amount that goes back", refund.amount, uma.pay_price + 1)

    async def _pay(self, order: Order, amount: Decimal) -> Payment:
        report: dict[str, JsonValue] = {
            "amount": str(amount),
            "paid_at": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(),
        }
        return (await self._session.api.call(Payment, "POST", f"/v1/orders/{order.out_trade_no}/payment", report)).body

    async def _lock(self, order: Order, **changes: str | None) -> Order:
        """Requests the order's seat again, with some fields changed."""
        request: dict[str, JsonValue] = {
            "out_trade_no": order.out_trade_no,
            "user_id": order.user_id,
            "goods_id": order.goods_id,
            "channel": CHANNEL,
            "team_id": order.team_id,
            **changes,
        }
        return (await self._session.api.call(Order, "POST", "/v1/orders", request)).body

    async def _refused(self, what: str, code: str, request: Awaitable[object]) -> None:
        try:
            await request
        except RefusedError as refused:
            require(f"the refusal of {what}", refused.problem.code, code)
            await self._session.narrator.line(f"{what}: {refused.status} {refused.problem.code}")
        else:
            raise JourneyError(f"{what} was not refused; {code} was expected")
