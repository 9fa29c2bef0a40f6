"""The second journey: every way in which a seat is given up, and the money paid for it returned."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from time import monotonic

from cli.demo.campaigns import Campaigns
from cli.demo.client import JourneyError, require
from cli.demo.receiving_mall import VETO, ReceivingMall
from cli.demo.refund_actions import RefundActions
from cli.demo.schemas import Order, Refund, RefundsForOperators
from cli.demo.session import LATE_BUYER, Session

SHORT = 2
"""seconds, for times that expire while somebody watches"""
CLEAN_UP_TIMEOUT = 5.0


class RefundJourney:
    def __init__(self, session: Session, vetoing_mall: Callable[[], AbstractAsyncContextManager[ReceivingMall]]) -> None:
        """`vetoing_mall` listens while it is entered."""
        self._session = session
        self._vetoing_mall = vetoing_mall
        self._narrator = session.narrator
        self._actions = RefundActions(session)
        self._campaigns = Campaigns(session)

    async def play(self) -> None:
        try:
            team_id, opener = await self._unpaid()
            members = await self._paid_while_forming(team_id, opener)
            await self._paid_in_completed_team(members)
            await self._vetoed()
            await self._team_expires()
            await self._late_payments()
            await self._check_invariants()
        except BaseException:
            # What is reported is why the journey ended, not that ending the campaigns failed, too.
            with suppress(JourneyError, TimeoutError):
                async with asyncio.timeout(CLEAN_UP_TIMEOUT):
                    await self._campaigns.end_all()
            raise

    async def _unpaid(self) -> tuple[str, Order]:
        """Returns the second team's id, and its opener's order."""
        session, actions, narrator = self._session, self._actions, self._narrator
        await narrator.step("Unpaid: a buyer leaves before paying")
        opener = (await session.lock(LATE_BUYER)).body
        eve = (await session.lock("eve", opener.team_id)).body
        before = await session.team(opener.team_id)
        await narrator.line(f"{before.seats}  {LATE_BUYER} opened a second team, eve joined, team {opener.team_id}")
        refund = await actions.refund("eve", eve, "changed my mind", "unpaid")
        after = await session.team(opener.team_id)
        require("eve's refund", refund.line, "refund unpaid, done, 0.00")
        require("the team", after.seats, "◐○○")
        await narrator.counts(before, after, "the seat is free at once")
        await actions.check_order("eve", eve, "cancelled", "nothing was paid, nothing is returned")
        again = await session.api.call(Refund, "POST", f"/v1/orders/{eve.out_trade_no}/refund", {"reason": "changed my mind"})
        if not again.replayed or again.body != refund:
            raise JourneyError(f"the repeat of {eve.out_trade_no}'s refund was not answered with the refund it already has")
        await narrator.line(f"the same request again: {again.status}, Idempotent-Replayed: true, the same refund")
        await actions.callbacks(eve.team_id, ("order.cancelled", eve))
        return opener.team_id, opener

    async def _paid_while_forming(self, team_id: str, opener: Order) -> list[tuple[str, Order]]:
        """Returns the members of the team after the refund."""
        session, actions, narrator = self._session, self._actions, self._narrator
        await narrator.step("Paid, the team still forming: the money is returned, and the seat can be taken by somebody else")
        await session.pay(LATE_BUYER, opener)
        finn = (await session.lock("finn", team_id)).body
        gina = (await session.lock("gina", team_id)).body
        before = await session.team(team_id)
        await narrator.line(f"{before.seats}  {LATE_BUYER} paid {opener.pay_price}, finn and gina joined: the team is full")
        await actions.refund(LATE_BUYER, opener, "takes too long", "paid_unformed")
        after = await session.team(team_id)
        hana = (await session.lock("hana", team_id)).body
        retaken = await session.team(team_id)
        require("the team", after.seats, "◐◐○")
        await narrator.counts(before, after, "the seat is free at once")
        require("the team", retaken.seats, "◐◐◐")
        await narrator.counts(after, retaken, f"hana took {LATE_BUYER}'s seat")
        await actions.callbacks(team_id, ("order.refunded", opener))
        await actions.money_returned(LATE_BUYER, opener)
        return [("finn", finn), ("gina", gina), ("hana", hana)]

    async def _paid_in_completed_team(self, members: list[tuple[str, Order]]) -> None:
        session, actions, narrator = self._session, self._actions, self._narrator
        await narrator.step("Paid, in a completed team: the mall is asked first")
        for name, order in members:
            await session.pay(name, order)
        name, order = members[0]
        before = await session.team(order.team_id)
        require("the team", before.status, "completed")
        await narrator.line(f"{before.seats}  finn, gina and hana paid: team {before.status}")
        await actions.callbacks(order.team_id, ("team.completed", None))
        await actions.refund(name, order, "found it cheaper", "paid_formed")
        await narrator.line(f"until the mall agrees, {name} keeps the seat, and counts")
        await actions.callbacks(order.team_id, ("order.refund_requested", order))
        await narrator.line("the mall answers 200: it agrees")
        await actions.callbacks(order.team_id, ("order.refunded", order))
        after = await session.team(order.team_id)
        require("the team", f"{after.seats} {after.status}", "●●– completed_with_refunds")
        await narrator.counts(before, after, f"{name}'s seat is not sold again, the other orders do not change")
        await actions.money_returned(name, order)

    async def _vetoed(self) -> None:
        session, actions, narrator = self._session, self._actions, self._narrator
        await narrator.step("A veto: the mall rejects the refund, and nothing changes")
        async with self._vetoing_mall() as mall:
            await narrator.line(f"this {session.shop.name} listens at {mall.url}, as a mall that vetoes refunds")
            goods_id = await self._campaigns.create(target_count=2)
            ida = (await session.lock("ida", goods_id=goods_id, callback_url=mall.url)).body
            jon = (await session.lock("jon", ida.team_id, goods_id)).body
            await session.pay("ida", ida)
            before = (await session.pay("jon", jon)).team
            require("the team", before.status, "completed")
            await narrator.line(f"{before.seats}  ida and jon paid: team {before.status}; ida's callbacks go to that address")
            # Awaited before the address stops listening: the platform would retry the callback for days.
            await actions.callback_at(mall, "team.completed")
            await actions.refund("ida", ida, "ordered twice", "paid_formed")
            question = await actions.callback_at(mall, "order.refund_requested")
            await narrator.line(f"{question.type} reached it: signature verified, sequence {question.sequence}")
            await narrator.event_data(question.data)
            await narrator.line(f"it answers 409 {json.dumps(VETO)}")
            refund = await actions.until_refund("ida", ida, "rejected")
        after = await session.team(ida.team_id)
        require("the team", f"{after.seats} {after.status}", "●● completed")
        await narrator.counts(before, after, "no seat was released")
        await actions.check_order("ida", ida, "paid", f"as before; {refund.line}")
        path = f"/v1/ops/refunds?out_trade_no={ida.out_trade_no}"
        refunds = (await session.ops.call(RefundsForOperators, "GET", path)).body.data
        require("the number of ida's refunds", len(refunds), 1)
        [rejected] = refunds
        require("the mall's answer", rejected.answer, "vetoed")
        require("the note of the mall", rejected.note, VETO["detail"])
        await narrator.line(
            f'operators read: {rejected.answer}, "{rejected.note}"; the workflow ends as failed, with RefundRejected'
        )

    async def _team_expires(self) -> None:
        session, actions, narrator = self._session, self._actions, self._narrator
        await narrator.step("Expired: a team passes its deadline, and everybody who paid is refunded")
        goods_id = await self._campaigns.create(target_count=3, team_ttl=SHORT, payment_grace=0)
        with _within_short():
            kim = (await session.lock("kim", goods_id=goods_id)).body
            leo, mia = await actions.join(kim, "leo", "mia")
            await asyncio.gather(session.pay("kim", kim), session.pay("leo", leo))
            before = await session.team(kim.team_id)
            require("the team", before.seats, "●●◐")
        await narrator.line(f"{before.seats}  kim and leo paid, mia has not; the deadline is {before.deadline:%H:%M:%S} UTC")
        narrator.waiting("the deadline", before.deadline)
        await session.until(
            f"team {kim.team_id} to fail", lambda: session.team(kim.team_id), lambda team: team.status == "failed"
        )
        events = [("team.failed", None), ("order.cancelled", mia), ("order.refunded", kim), ("order.refunded", leo)]
        await actions.callbacks(kim.team_id, *events)
        await actions.check_order("mia", mia, "cancelled", "nothing was paid, nothing is returned")
        for name, order in (("kim", kim), ("leo", leo)):
            refund = await actions.money_returned(name, order)
            narrator.link(f"{name}'s refund, of the team that expired", refund.workflow)
        after = await session.team(kim.team_id)
        require("the team", after.seats, "–––")
        await narrator.counts(before, after, "no member is left")

    async def _late_payments(self) -> None:
        session, actions, narrator = self._session, self._actions, self._narrator
        await narrator.step("Late payments: a seat has timed out when its payment arrives")
        goods_id = await self._campaigns.create(target_count=3, lock_ttl=SHORT, payment_grace=0)
        with _within_short():
            nora = (await session.lock("nora", goods_id=goods_id)).body
            team_id = nora.team_id
            await session.pay("nora", nora)
            olga, pia = await actions.join(nora, "olga", "pia")
            before = await session.team(team_id)
            require("the team", before.seats, "●◐◐")
        await narrator.line(f"{before.seats}  nora paid, olga and pia have until {olga.lock_expires_at:%H:%M:%S} UTC")
        narrator.waiting("their seats to time out", max(olga.lock_expires_at, pia.lock_expires_at))
        timed_out = await session.until(
            "unpaid seats to time out", lambda: session.team(team_id), lambda team: team.lock_count == 1
        )
        await narrator.counts(before, timed_out, "both seats are free")
        await actions.callbacks(team_id, ("order.cancelled", olga), ("order.cancelled", pia))
        payment = await session.pay("olga", olga, "reseated")
        require("the team", payment.team.seats, "●●○")
        await narrator.line(f"olga pays {olga.pay_price} now: {payment.outcome}, because a seat is free")
        await narrator.counts(timed_out, payment.team, "olga has a seat again")
        await actions.callbacks(team_id, ("order.reseated", olga))
        with _within_short():
            quin = (await session.lock("quin", team_id, goods_id)).body
            full = (await session.pay("quin", quin)).team
        require("the team", f"{full.seats} {full.status}", "●●● completed")
        await narrator.counts(payment.team, full, "quin took the last seat, and paid")
        await actions.callbacks(team_id, ("team.completed", None))
        late = await session.pay("pia", pia, "refunding")
        require("the reason of the refund", late.reason, "late_payment")
        await narrator.line(f"pia pays {pia.pay_price} now: {late.outcome}, {late.reason}, because the team is full")
        await actions.callbacks(team_id, ("order.refunded", pia))
        refund = await actions.money_returned("pia", pia)
        require("pia's refund", refund.kind, "unsettled")
        narrator.link("pia's refund, of the late payment", refund.workflow)
        await narrator.counts(full, await session.team(team_id), "the team is unchanged")

    async def _check_invariants(self) -> None:
        await self._narrator.step("The invariants, after all this")
        await self._session.require_invariants()
        await self._narrator.line("every seat, counter, quota and payment of the whole database agrees: no violations")
        await self._campaigns.end_all()
        await self._narrator.line("the campaigns made for this are ended")


@contextmanager
def _within_short() -> Iterator[None]:
    """Explains a failure that is due to a busy machine or a slow network: SHORT can pass before the block has ended."""
    began = monotonic()
    try:
        yield
    except JourneyError as error:
        took = monotonic() - began
        if took < SHORT:
            raise
        raise JourneyError(f"this is too slow: {took:.1f} s, with {SHORT} s to do it in: {error}") from error
