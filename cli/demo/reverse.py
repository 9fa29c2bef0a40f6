"""The second half of `groupbuy demo`: every way in which a seat, and the money paid for it, comes back."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic

import click
from pydantic import BaseModel, JsonValue

from cli.demo.client import DemoError, Order, Team, Workflow, require
from cli.demo.stage import CHANNEL, LATE_BUYER, Stage
from cli.demo.unwilling_mall import VETO, Event, UnwillingMall, unwilling_mall

SOURCE = "s01"  # the demo mall
SHORT = 2  # seconds, of what runs out while the reader looks on

_CLEAN_UP_SECONDS = 5.0


# The answers, as far as the reverse journey reads them.


class Refund(BaseModel):
    kind: str
    status: str
    reason: str
    amount: Decimal
    workflow: Workflow

    @property
    def line(self) -> str:
        return f"refund {self.kind}, {self.status}, {self.amount}"


class Judged(BaseModel):
    """A refund as operators see it."""

    status: str
    answer: str | None
    note: str | None


class JudgedRefunds(BaseModel):
    data: list[Judged]


class Goods(BaseModel):
    goods_id: str


class Campaign(BaseModel):
    campaign_id: int
    status: str


class Check(BaseModel):
    violations: list[JsonValue]


class ReverseJourney:
    """Seats that are given up, vetoed, timed out and paid too late, told while it happens."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._campaigns: list[int] = []

    async def play(self) -> None:
        try:
            left, opener = await self._unpaid()
            remaining = await self._paid_while_forming(left, opener)
            await self._paid_in_a_completed_team(remaining)
            await self._vetoed()
            await self._expired()
            await self._paid_too_late()
            await self._close_the_books()
        except BaseException:
            # The reader must see what went wrong, and not that ending the campaigns went wrong, too.
            with suppress(DemoError, TimeoutError):
                async with asyncio.timeout(_CLEAN_UP_SECONDS):
                    await self._end_campaigns()
            raise

    async def _unpaid(self) -> tuple[str, Order]:
        """Returns the second team's id, and its opener's order."""
        stage = self._stage
        await stage.step("Unpaid: a buyer leaves before paying")
        opener = (await stage.lock(LATE_BUYER)).body
        eve = (await stage.lock("eve", opener.team_id)).body
        before = await stage.team(opener.team_id)
        await stage.tell(f"{before.seats}  {LATE_BUYER} opened a second team, eve joined, team {opener.team_id}")
        refund = await self._leave("eve", eve, "changed my mind", "unpaid")
        after = await stage.team(opener.team_id)
        require("eve's refund", refund.line, "refund unpaid, done, 0.00")
        require("the team", after.seats, "◐○○")
        await self._tell_counts(before, after, "the seat is free at once")
        await self._tell_order("eve", await stage.order(eve.out_trade_no), "cancelled", "nothing was paid, nothing goes back")
        again = await stage.api.call(Refund, "POST", f"/v1/orders/{eve.out_trade_no}/refund", {"reason": "changed my mind"})
        if not again.replayed or again.body != refund:
            raise DemoError(f"the repeat of {eve.out_trade_no}'s refund was not answered with the refund it already has")
        await stage.tell(f"the same request again: {again.status}, Idempotent-Replayed: true, the same refund")
        await self._hear(eve.team_id, ("order.cancelled", eve))
        return opener.team_id, opener

    async def _paid_while_forming(self, team_id: str, opener: Order) -> list[tuple[str, Order]]:
        """Returns who is in the team then."""
        stage = self._stage
        await stage.step("Paid, the team still forming: the money goes back, and the seat to somebody else")
        await stage.pay(LATE_BUYER, opener)
        finn = (await stage.lock("finn", team_id)).body
        gina = (await stage.lock("gina", team_id)).body
        before = await stage.team(team_id)
        await stage.tell(f"{before.seats}  {LATE_BUYER} paid {opener.pay_price}, finn and gina joined: the team is full")
        await self._leave(LATE_BUYER, opener, "takes too long", "paid_unformed")
        after = await stage.team(team_id)
        hana = (await stage.lock("hana", team_id)).body
        taken = await stage.team(team_id)
        require("the team", after.seats, "◐◐○")
        await self._tell_counts(before, after, "the seat is free at once")
        require("the team", taken.seats, "◐◐◐")
        await self._tell_counts(after, taken, f"hana took {LATE_BUYER}'s seat")
        await self._hear(team_id, ("order.refunded", opener))
        await self._tell_returned(LATE_BUYER, opener)
        return [("finn", finn), ("gina", gina), ("hana", hana)]

    async def _paid_in_a_completed_team(self, members: list[tuple[str, Order]]) -> None:
        stage = self._stage
        await stage.step("Paid, in a completed team: the mall is asked first")
        for name, order in members:
            await stage.pay(name, order)
        name, order = members[0]
        before = await stage.team(order.team_id)
        require("the team", before.status, "completed")
        await stage.tell(f"{before.seats}  finn, gina and hana paid: team {before.status}")
        await self._hear(order.team_id, ("team.completed", None))
        await self._leave(name, order, "found it cheaper", "paid_formed")
        await stage.tell(f"until the mall agrees {name} keeps the seat, and counts")
        await self._hear(order.team_id, ("order.refund_requested", order))
        await stage.tell("the demo mall answers 200: it agrees")
        await self._hear(order.team_id, ("order.refunded", order))
        after = await stage.team(order.team_id)
        require("the team", f"{after.seats} {after.status}", "●●– completed_with_refunds")
        await self._tell_counts(before, after, f"{name}'s seat is not sold again, the others are not touched")
        await self._tell_returned(name, order)

    async def _vetoed(self) -> None:
        stage = self._stage
        await stage.step("A veto: the mall says no, and everything stays as it was")
        async with unwilling_mall(stage.webhook_secret) as mall:
            await stage.tell(f"{mall.url} is opened by this demo: it stands for a mall that says no")
            goods_id = await self._sell(target_count=2)
            ida = (await stage.lock("ida", goods_id=goods_id, callback_url=mall.url)).body
            jon = (await stage.lock("jon", ida.team_id, goods_id)).body
            await stage.pay("ida", ida)
            before = (await stage.pay("jon", jon)).team
            require("the team", before.status, "completed")
            await stage.tell(
                f"{before.seats}  ida and jon paid: team {before.status}; ida's order is called back at that address"
            )
            # Told before it is closed: else the platform would go on trying to tell it.
            await self._hear_at(mall, "team.completed")
            await self._leave("ida", ida, "ordered twice", "paid_formed")
            asked = await self._hear_at(mall, "order.refund_requested")
            await stage.tell(f"{asked.type} reached it: signature verified, sequence {asked.sequence}")
            await self._tell_data(asked.data)
            await stage.tell(f"it answers 409 {json.dumps(VETO)}")
            refund = await self._until_refund("ida", ida, "rejected")
        after = await stage.team(ida.team_id)
        require("the team", f"{after.seats} {after.status}", "●● completed")
        await self._tell_counts(before, after, "nothing was released")
        await self._tell_order("ida", await stage.order(ida.out_trade_no), "paid", f"as before; {refund.line}")
        found = (await stage.ops.call(JudgedRefunds, "GET", f"/v1/ops/refunds?out_trade_no={ida.out_trade_no}")).body.data
        require("the number of ida's refunds", len(found), 1)
        judged = found[0]
        require("the mall's answer", judged.answer, "vetoed")
        require("what the mall said", judged.note, VETO["detail"])
        await stage.tell(f'operators read: {judged.answer}, "{judged.note}"; the workflow ends as failed, with RefundRejected')

    async def _expired(self) -> None:
        stage = self._stage
        await stage.step("Expired: a team runs out of time, and everybody who paid gets the money back")
        goods_id = await self._sell(target_count=3, team_ttl=SHORT, payment_grace=0)
        with _in_time():
            kim = (await stage.lock("kim", goods_id=goods_id)).body
            leo, mia = await self._join(kim, "leo", "mia")
            await asyncio.gather(stage.pay("kim", kim), stage.pay("leo", leo))
            before = await stage.team(kim.team_id)
            require("the team", before.seats, "●●◐")
        await stage.tell(f"{before.seats}  kim and leo paid, mia has not; the deadline is {before.deadline:%H:%M:%S} UTC")
        self._tell_wait(before.deadline, "the team to run out of time")
        await stage.until(f"team {kim.team_id} to fail", lambda: stage.team(kim.team_id), lambda team: team.status == "failed")
        await self._hear(
            kim.team_id, ("team.failed", None), ("order.cancelled", mia), ("order.refunded", kim), ("order.refunded", leo)
        )
        await self._tell_order("mia", await stage.order(mia.out_trade_no), "cancelled", "nothing was paid, nothing goes back")
        for name, order in (("kim", kim), ("leo", leo)):
            stage.link(f"{name}'s refund, of the team that expired", (await self._tell_returned(name, order)).workflow)
        after = await stage.team(kim.team_id)
        require("the team", after.seats, "–––")
        await self._tell_counts(before, after, "nobody is left")

    async def _paid_too_late(self) -> None:
        stage = self._stage
        await stage.step("Late payments: a seat has timed out, and then the money comes")
        goods_id = await self._sell(target_count=3, lock_ttl=SHORT, payment_grace=0)
        with _in_time():
            nora = (await stage.lock("nora", goods_id=goods_id)).body
            team_id = nora.team_id
            await stage.pay("nora", nora)
            olga, pia = await self._join(nora, "olga", "pia")
            before = await stage.team(team_id)
            require("the team", before.seats, "●◐◐")
        await stage.tell(f"{before.seats}  nora paid, olga and pia have until {olga.lock_expires_at:%H:%M:%S} UTC")
        self._tell_wait(max(olga.lock_expires_at, pia.lock_expires_at), "their seats to time out")
        timed_out = await stage.until(
            "unpaid seats to time out", lambda: stage.team(team_id), lambda team: team.lock_count == 1
        )
        await self._tell_counts(before, timed_out, "both seats are free")
        await self._hear(team_id, ("order.cancelled", olga), ("order.cancelled", pia))
        payment = await stage.pay("olga", olga, "reseated")
        require("the team", payment.team.seats, "●●○")
        await stage.tell(f"olga pays {olga.pay_price} now: {payment.outcome}, for there is a free seat")
        await self._tell_counts(timed_out, payment.team, "olga is back")
        await self._hear(team_id, ("order.reseated", olga))
        with _in_time():
            quin = (await stage.lock("quin", team_id, goods_id)).body
            full = (await stage.pay("quin", quin)).team
        require("the team", f"{full.seats} {full.status}", "●●● completed")
        await self._tell_counts(payment.team, full, "quin took the last seat, and paid")
        await self._hear(team_id, ("team.completed", None))
        late = await stage.pay("pia", pia, "refunding")
        require("why it goes back", late.reason, "late_payment")
        await stage.tell(f"pia pays {pia.pay_price} now: {late.outcome}, {late.reason}, for the team is full")
        await self._hear(team_id, ("order.refunded", pia))
        refund = await self._tell_returned("pia", pia)
        require("pia's refund", refund.kind, "unsettled")
        stage.link("pia's refund, of the late payment", refund.workflow)
        await self._tell_counts(full, await stage.team(team_id), "the team is as it was")

    async def _close_the_books(self) -> None:
        stage = self._stage
        await stage.step("The books, after all this")
        check = (await stage.ops.call(Check, "GET", "/v1/ops/invariants")).body
        if check.violations:
            raise DemoError(f"the books do not agree, {len(check.violations)} violations, the first: {check.violations[0]}")
        await stage.tell("every seat, counter, quota and payment of the whole database agrees: no violations")
        await self._end_campaigns()
        await stage.tell("the campaigns made for this demo are ended")

    # What the steps are made of.

    async def _sell(self, *, target_count: int, **seconds: int) -> str:
        """New goods in a campaign of their own, which ends by itself if this demo cannot end it."""
        stage, now = self._stage, datetime.now(UTC)
        goods_id = f"demo-{stage.run}-{len(self._campaigns) + 1}"
        await stage.ops.call(Goods, "PUT", f"/v1/ops/goods/{goods_id}", {"name": "Demo book", "original_price": "100.00"})
        new: dict[str, JsonValue] = {
            "name": "For the demo",
            "status": "active",
            "starts_at": (now - timedelta(minutes=1)).isoformat(),
            "ends_at": (now + timedelta(hours=1)).isoformat(),
            "goods": [{"source": SOURCE, "channel": CHANNEL, "goods_id": goods_id}],
            "discount": {"plan": "cut", "expr": "20"},
            "target_count": target_count,
            **seconds,
        }
        campaign = (await stage.ops.call(Campaign, "POST", "/v1/ops/campaigns", new)).body
        self._campaigns.append(campaign.campaign_id)
        times = "".join(f", {name} {value} s" for name, value in seconds.items())
        await stage.tell(f"campaign {campaign.campaign_id}, made for this step: teams of {target_count}{times}")
        return goods_id

    async def _end_campaigns(self) -> None:
        while self._campaigns:
            path = f"/v1/ops/campaigns/{self._campaigns[-1]}"
            campaign = (await self._stage.ops.call(Campaign, "PATCH", path, {"status": "ended"})).body
            require(f"campaign {campaign.campaign_id}", campaign.status, "ended")
            self._campaigns.pop()

    async def _join(self, opener: Order, *names: str) -> list[Order]:
        """At the same time: it must not take long."""
        locks = (self._stage.lock(name, opener.team_id, opener.goods_id) for name in names)
        return [answer.body for answer in await asyncio.gather(*locks)]

    async def _leave(self, name: str, order: Order, reason: str, kind: str) -> Refund:
        answer = await self._stage.api.call(Refund, "POST", f"/v1/orders/{order.out_trade_no}/refund", {"reason": reason})
        refund = answer.body
        require(f"the kind of {name}'s refund", refund.kind, kind)
        self._stage.link(f"{name}'s refund, {kind}", refund.workflow)
        await self._stage.tell(f'{name} wants out ("{reason}"): {answer.status}, {refund.line}')
        return refund

    async def _hear(self, team_id: str, *wanted: tuple[str, Order | None]) -> None:
        """Tells of these as soon as the mall has received them all."""
        kinds = [(kind, order.out_trade_no if order else None) for kind, order in wanted]
        for callback in await self._stage.callbacks(team_id, *kinds):
            await self._stage.tell(f"the mall received {callback.type}: signature verified, sequence {callback.sequence}")
            await self._tell_data(callback.data)

    async def _hear_at(self, mall: UnwillingMall, kind: str) -> Event:
        async def look() -> list[Event]:
            if mall.mistakes:
                raise DemoError(f"a callback came to {mall.url} that is not to be trusted: {mall.mistakes[0]}")
            return [event for event in mall.received if event.type == kind]

        return (await self._stage.until(f"{kind} to reach {mall.url}", look, bool))[0]

    async def _until_refund(self, name: str, order: Order, status: str) -> Refund:
        async def look() -> Refund:
            return (await self._stage.api.call(Refund, "GET", f"/v1/orders/{order.out_trade_no}/refund")).body

        return await self._stage.until(f"{name}'s refund to be {status}", look, lambda refund: refund.status == status)

    async def _tell_returned(self, name: str, order: Order) -> Refund:
        refund = await self._until_refund(name, order, "done")
        require(f"what {name} gets back", refund.amount, order.pay_price)
        what = f"the mall returns {refund.amount}; {refund.line}"
        await self._tell_order(name, await self._stage.order(order.out_trade_no), "refunded", what)
        return refund

    async def _tell_order(self, name: str, order: Order, status: str, what: str) -> None:
        require(f"{name}'s order", order.status, status)
        because = f" ({order.cancel_reason})" if order.cancel_reason and status == "cancelled" else ""
        await self._stage.tell(f"{name}'s order is {order.status}{because}: {what}")

    async def _tell_counts(self, before: Team, after: Team, what: str) -> None:
        locked = _count("lock_count", before.lock_count, after.lock_count)
        complete = _count("complete_count", before.complete_count, after.complete_count)
        await self._stage.tell(f"{after.seats}  {locked}, {complete}, team {after.status}: {what}")

    async def _tell_data(self, data: dict[str, JsonValue]) -> None:
        # The order first, as the events come with their fields in any order; without the team, which is the step's.
        names = sorted((name for name in data if name != "team_id"), key=lambda name: name != "out_trade_no")
        values = ((name, data[name]) for name in names)
        told = (f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in values)
        await self._stage.tell(f"  {'; '.join(told)}")

    def _tell_wait(self, moment: datetime, what: str) -> None:
        left = (moment - datetime.now(UTC)).total_seconds()
        click.echo(f"   … waiting {f'{left:.1f} s ' if left > 0 else ''}for {what}")


def _count(name: str, before: int, after: int) -> str:
    return f"{name} {before} → {after}" if before != after else f"{name} still {after}"


@contextmanager
def _in_time() -> Iterator[None]:
    """What has to happen before a short time is over: on a busy machine it may be over first."""
    began = monotonic()
    try:
        yield
    except DemoError as error:
        took = monotonic() - began
        if took < SHORT:
            raise
        raise DemoError(f"this machine is too busy for the demo: {took:.1f} s, with {SHORT} s to do it in: {error}") from error
