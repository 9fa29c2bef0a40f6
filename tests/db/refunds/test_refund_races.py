"""Refunds that race against everything else that can happen to the order: one effect, one event, in any order."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from itertools import cycle, islice
from typing import TypeVar, cast

import pytest

from db.callbacks.deliveries import Attempt, Delivery, pending_deliveries, record_attempt
from db.core.connection import transaction
from db.core.invariants import violations
from db.refunds.steps import answer_refund, finish_refund, flag_refund, reject_refund, release_refund, resume_refund
from domain.errors import ErrorCode
from domain.ids import event_id
from domain.lifecycle import MallAnswer, PaymentOutcome, RefundKind, RefundStatus, TeamDecision, TeamStatus
from domain.messages.orders import HeldSeat
from domain.messages.refunds import ChangeRefund, RefundAction, RefundState
from domain.schemas.campaigns import Campaign
from tests.acts import act_of
from tests.db.shop import DEADLINE, NOW, OVERDUE, SHOP_ADDRESS, Member, Shop, cancelled

ROUNDS = 20
RNG = random.Random(20260502)  # noqa: S311 - no secret
AGREED, VETOED = MallAnswer.AGREED, MallAnswer.VETOED
CANCELLED, RESEATED, REQUESTED, REFUNDED = "order.cancelled", "order.reseated", "order.refund_requested", "order.refunded"
UNPAID, UNFORMED = "unpaid 0.00: done", "paid_unformed 80.00: awaiting_mall"
FORMED, UNSETTLED = "paid_formed 80.00: awaiting_mall", "unsettled 80.00: requested"

One = TypeVar("One")
Other = TypeVar("Other")


# --- two concurrent sides ---

LOCK_TEAM_OF = "SELECT FROM teams WHERE team_id = (SELECT team_id FROM orders WHERE order_id = $1) FOR UPDATE"
LOCK_REFUND_OF = "SELECT FROM refunds WHERE order_id = $1 FOR UPDATE"


async def duel(
    shop: Shop, round_: int, of: Member, one: Awaitable[One], other: Awaitable[Other], lock: str = LOCK_TEAM_OF
) -> tuple[One, Other]:
    """Runs both concurrently: at random in every other round, else queued for a locked row, alternately in both orders."""
    sides = (one, other)
    if round_ % 2 == 0:
        return cast("tuple[One, Other]", tuple(await shop.race(*(with_random_delay(shop, side) for side in sides))))
    started: dict[int, asyncio.Future[object]] = {}
    async with transaction(shop.database) as holder:
        await holder.execute(lock, of.order_id)
        for place, side in enumerate((0, 1) if round_ % 4 == 1 else (1, 0), start=1):
            started[side] = asyncio.ensure_future(sides[side])
            await shop.until_waiting(place)
    return cast("tuple[One, Other]", (await started[0], await started[1]))


async def with_random_delay(shop: Shop, runner: Awaitable[One]) -> One:
    """Delays the runner by some round trips, so that the side with fewer statements does not always win."""
    for _ in range(RNG.randint(0, 5)):
        await shop.value("SELECT 1")
    return await runner


async def traces(shop: Shop, member: Member) -> list[str]:
    """Returns the refunds of an order and then the types of its events."""
    refunds = "SELECT format('%s %s: %s', kind, amount, status) FROM refunds WHERE order_id = $1 ORDER BY attempt"
    events = "SELECT type FROM events WHERE order_id = $1 ORDER BY event_no"
    return [row[0] for sql in (refunds, events) for row in await shop.rows(sql, member.order_id)]


async def counts(shop: Shop, of: Member) -> tuple[str, int, int]:
    team = await shop.team_row(of)
    return team["status"], team["lock_count"], team["complete_count"]


# --- requests ---


@pytest.mark.parametrize(
    ("paid", "locked", "expected", "team"),
    [
        (1, 1, [UNPAID, CANCELLED], ("forming", 1, 1)),
        (2, 0, [UNFORMED, REFUNDED], ("forming", 1, 1)),
        (3, 0, [FORMED, REQUESTED], ("completed", 3, 3)),
    ],
    ids=["unpaid", "paid_unformed", "paid_formed"],
)
async def test_concurrent_requests_refund_an_order_once(
    shop: Shop, paid: int, locked: int, expected: list[str], team: tuple[str, int, int]
) -> None:
    campaign = await shop.campaign(stock=1000)
    for _ in range(ROUNDS):
        member = (await shop.team(campaign, paid=paid, locked=locked, callback=SHOP_ADDRESS))[-1]

        answers = await shop.race(*(shop.refund(member) for _ in range(10)))

        # Repeats say it, too: the first answer may be lost.
        assert {answer.left_live_team for answer in answers} == {paid < 3}
        assert len({*answers}) == 1
        assert await traces(shop, member) == expected
        assert await counts(shop, member) == team


async def test_a_refund_races_against_the_payment_of_its_order(shop: Shop) -> None:
    """Either the payment is settled and refunded, or the seat is released and the payment is late: one refund of the money."""
    campaign = await shop.campaign(stock=1000)
    outcomes = set()
    for round_ in range(30):
        is_alone = round_ % 3 == 0
        member = (await shop.team(campaign, paid=0 if is_alone else 1, locked=1))[-1]

        refund, settled = await duel(shop, round_, member, shop.refund(member), shop.settle(member))

        if settled.outcome is PaymentOutcome.SETTLED:
            assert refund.kind is RefundKind.PAID_UNFORMED
            assert await traces(shop, member) == [UNFORMED, REFUNDED]
        else:
            assert (refund.kind, settled.reason, settled.refund_attempt) == ("unpaid", "late_payment", 2)
            assert await traces(shop, member) == [UNPAID, UNSETTLED, CANCELLED, REFUNDED]
        assert (await shop.order_row(member))["status"] == "refunding"
        assert await counts(shop, member) == (("failed", 0, 0) if is_alone else ("forming", 1, 1))
        outcomes.add(settled.outcome)
    assert len(outcomes) == 2


async def test_a_refund_races_against_the_timeout_of_its_seat(shop: Shop) -> None:
    campaign = await shop.campaign(stock=1000)
    reasons = set()
    for round_ in range(ROUNDS):
        member = (await shop.team(campaign, paid=1, locked=1))[1]
        release = shop.release(member, OVERDUE, [member.number])

        refund, released = await duel(shop, round_, member, shop.try_refund(member), release)

        left = isinstance(refund, RefundState)
        assert left or refund is ErrorCode.REFUND_NOT_FOUND
        assert (cancelled(released), released.repeated) == ([member.number], left)
        assert (await shop.order_row(member))["cancel_reason"] == ("buyer" if left else "lock_timeout")
        assert await traces(shop, member) == ([UNPAID, CANCELLED] if left else [CANCELLED])
        assert await counts(shop, member) == ("forming", 1, 1)
        reasons.add(left)
    assert len(reasons) == 2


async def test_a_refund_races_against_the_payment_that_completes_the_team(shop: Shop) -> None:
    campaign = await shop.campaign(stock=1000)
    kinds = set()
    for round_ in range(ROUNDS):
        leaver, _, last = await shop.team(campaign, paid=2, locked=1, callback=SHOP_ADDRESS)

        refund, settled = await duel(shop, round_, leaver, shop.refund(leaver), shop.settle(last))

        needs_consent = refund.kind is RefundKind.PAID_FORMED
        assert (settled.outcome, settled.team.status) == ("settled", "completed" if needs_consent else "forming")
        assert await traces(shop, leaver) == ([FORMED, REQUESTED] if needs_consent else [UNFORMED, REFUNDED])
        assert await counts(shop, leaver) == (("completed", 3, 3) if needs_consent else ("forming", 2, 2))
        if not needs_consent:  # the seat is free again
            newcomer = shop.joiner(leaver)
            await shop.lock(newcomer)
            assert (await shop.settle(newcomer)).team.status is TeamStatus.COMPLETED
        assert (await shop.event_types(leaver)).count("team.completed") == 1
        kinds.add(refund.kind)
    assert len(kinds) == 2


TEAM_EVENT = "SELECT data ->> 'out_trade_nos' FROM events WHERE team_id = $1 AND order_id IS NULL"


@pytest.mark.parametrize(
    ("decision", "staying", "left"),
    [
        (TeamDecision.DEADLINE, "min_count", "expired"),
        (TeamDecision.COMPLETE, "operator", "operator"),
        (TeamDecision.CLOSE, "closed", "closed"),
    ],
)
async def test_a_refund_races_against_the_conclusion_of_its_team(
    shop: Shop, decision: TeamDecision, staying: str, left: str
) -> None:
    campaign = await shop.campaign(target_count=4, min_count=2, stock=1000)
    orders_of_events = set()
    for round_ in range(ROUNDS):
        leaver, stayer, unpaid = await shop.team(campaign, paid=2, locked=1, callback=SHOP_ADDRESS)

        refund, concluded = await duel(shop, round_, leaver, shop.refund(leaver), shop.conclude(leaver, decision))

        [(named,)] = await shop.rows(TEAM_EVENT, leaver.team_id)
        had_left, completed = f'"{leaver.number}"' not in named, concluded.team.status == "completed"
        team = await shop.team_row(leaver)
        assert (team["completion"] or team["fail_reason"]) == (left if had_left else staying)
        assert (concluded.decides_team, f'"{stayer.number}"' in named, cancelled(concluded)) == (True, True, [unpaid.number])
        needs_consent = completed and not had_left
        assert (refund.needs_consent, team["complete_count"]) == ((True, 2) if needs_consent else (False, 1))
        assert (await shop.refund_row(leaver))["reason"] == ("buyer" if had_left or needs_consent else "team_failed")
        assert await traces(shop, leaver) == ([FORMED, REQUESTED] if needs_consent else [UNFORMED, REFUNDED])
        assert (leaver.number in concluded.owed) is not (completed or had_left)
        assert (stayer.number in concluded.owed) is not completed
        orders_of_events.add(had_left)
    assert len(orders_of_events) == 2


# --- released seats ---


async def retry_lock(shop: Shop, newcomer: Member, seated: list[Member]) -> None:
    """Retries until one of the buyers has the seat."""
    while not seated:
        if isinstance(await shop.try_lock(newcomer), HeldSeat):
            seated.append(newcomer)


async def test_a_seat_released_by_a_refund_is_taken_once(shop: Shop) -> None:
    campaign = await shop.campaign(stock=1000)
    winners = set()
    for round_ in range(ROUNDS):
        members = await shop.team(campaign, paid=2, locked=1)
        leaver, newcomers = members[round_ % 3], [shop.joiner(members[0]) for _ in range(2)]
        seated: list[Member] = []

        await shop.race(shop.refund(leaver), *(retry_lock(shop, newcomer, seated) for newcomer in newcomers))

        assert len(seated) == 1
        had_paid = leaver is not members[2]
        assert await traces(shop, leaver) == ([UNFORMED, REFUNDED] if had_paid else [UNPAID, CANCELLED])
        assert await counts(shop, leaver) == ("forming", 3, 1 if had_paid else 2)
        winners.add(newcomers.index(seated[0]))
    assert len(winners) == 2


async def gets_a_seat(shop: Shop, member: Member, *, by_payment: bool) -> bool:
    if by_payment:
        return (await shop.settle(member, now=OVERDUE)).outcome is PaymentOutcome.RESEATED
    return isinstance(await shop.try_lock(shop.joiner(member), OVERDUE), HeldSeat)


@pytest.mark.parametrize("rival_is_late", [False, True], ids=["newcomer", "late_payer"])
async def test_a_late_payment_races_against_another_buyer_for_the_last_seat(shop: Shop, rival_is_late: bool) -> None:
    campaign = await shop.campaign(stock=1000)
    winners = set()
    for round_ in range(ROUNDS):
        _, late, rival = await shop.team(campaign, paid=1, locked=2)
        await shop.release(late)
        await shop.lock(shop.joiner(late), OVERDUE)
        payment, rivals = gets_a_seat(shop, late, by_payment=True), gets_a_seat(shop, rival, by_payment=rival_is_late)

        is_back, rival_is_in = await duel(shop, round_, late, payment, rivals)

        assert is_back is not rival_is_in
        back, too_late = [CANCELLED, RESEATED], [UNSETTLED, CANCELLED, REFUNDED]
        assert await traces(shop, late) == (back if is_back else too_late)
        assert not rival_is_late or await traces(shop, rival) == (too_late if is_back else back)
        assert await counts(shop, late) == ("forming", 3, 2 if is_back or rival_is_late else 1)
        winners.add(is_back)
    assert len(winners) == 2


@pytest.mark.parametrize("target_count", [2, 3])
async def test_a_late_payment_races_against_the_deadline(shop: Shop, target_count: int) -> None:
    """The payment arrives in the last second and is the missing one, for the target or for the minimum at the deadline."""
    campaign = await shop.campaign(target_count=target_count, min_count=2, stock=1000)
    outcomes = set()
    for round_ in range(ROUNDS):
        payer, late = await shop.team(campaign, paid=1, locked=1)
        await shop.release(late)
        payment = shop.settle(late, now=DEADLINE - timedelta(seconds=1))

        settled, concluded = await duel(shop, round_, late, payment, shop.conclude(late, TeamDecision.DEADLINE))

        is_back = settled.outcome is PaymentOutcome.RESEATED
        assert concluded.decides_team is not (is_back and target_count == 2)
        assert (concluded.team.status, concluded.owed) == (("completed", []) if is_back else ("failed", [payer.number]))
        assert await traces(shop, late) == ([CANCELLED, RESEATED] if is_back else [UNSETTLED, CANCELLED, REFUNDED])
        [(named,)] = await shop.rows(TEAM_EVENT, late.team_id)
        assert (f'"{late.number}"' in named) is is_back
        outcomes.add(settled.outcome)
    assert len(outcomes) == 2


# --- the mall's answer and the following steps ---


async def requested(shop: Shop, campaign: Campaign) -> tuple[Member, ChangeRefund]:
    """Requests the refund of a member of a completed team; returns the member and the change for the next steps."""
    member = (await shop.team(campaign, paid=3, locked=0, callback=SHOP_ADDRESS))[0]
    await shop.refund(member)
    return member, ChangeRefund(order_id=member.order_id, attempt=1, now=NOW)


async def mall_answers(shop: Shop, change: ChangeRefund, delivery: Delivery, answer: MallAnswer) -> RefundState:
    """Records the mall's answer, and executes the answer that holds (the first one)."""
    reply = Attempt(NOW, 5, 200 if answer is AGREED else 409, None, "delivered", NOW, answer, note="says the mall")
    await record_attempt(shop.database, delivery, reply)
    released = await release_refund(shop.database, change)
    return released if released.released else await reject_refund(shop.database, change)


@pytest.mark.parametrize("mall", [VETOED, AGREED], ids=["veto_against_approval", "yes_against_taking_back"])
async def test_the_malls_answer_races_against_an_operators(shop: Shop, mall: MallAnswer) -> None:
    """An operator approves for the mall, or cancels the workflow, while the mall answers: the first answer holds."""
    campaign = await shop.campaign(stock=1000)
    operators, firsts = VETOED if mall is AGREED else AGREED, set()
    for round_ in range(ROUNDS):
        member, change = await requested(shop, campaign)
        operator = shop.answer(member, AGREED) if operators is AGREED else reject_refund(shop.database, change)
        (delivery,) = await pending_deliveries(shop.database, [event_id(REQUESTED, member.order_id)])

        await duel(shop, round_, member, mall_answers(shop, change, delivery, mall), operator, LOCK_REFUND_OF)

        refund = await shop.refund_row(member)
        agreed = refund["answer"] == AGREED
        # The mall's note is stored only with the mall's answer.
        assert (refund["answer"], refund["note"]) in {(mall, "says the mall"), (operators, None)}
        assert (await shop.order_row(member))["status"] == ("refunding" if agreed else "paid")
        vetoed = ["paid_formed 80.00: rejected", REQUESTED]
        assert await traces(shop, member) == ([FORMED, REQUESTED, REFUNDED] if agreed else vetoed)
        assert await counts(shop, member) == (("completed_with_refunds", 2, 2) if agreed else ("completed", 3, 3))
        firsts.add(agreed)
    assert len(firsts) == 2


async def test_a_resend_races_against_the_manual_close_of_its_refund(shop: Shop) -> None:
    """After an operator has closed the refund manually, its event is not sent again."""
    campaign = await shop.campaign(stock=1000)
    for round_ in range(ROUNDS):
        member = (await shop.team(campaign, paid=2, locked=0, callback=SHOP_ADDRESS))[0]
        await shop.refund(member)
        resend = resume_refund(shop.database, ChangeRefund(order_id=member.order_id, attempt=1, now=NOW))

        finished, _ = await duel(shop, round_, member, shop.finish(member), resend)

        assert finished.status is RefundStatus.DONE
        assert await pending_deliveries(shop.database, [event_id(REFUNDED, member.order_id)]) == []


@pytest.mark.parametrize("answer", [None, AGREED, VETOED])
async def test_concurrent_steps_of_a_refund_take_effect_once(shop: Shop, answer: MallAnswer | None) -> None:
    """Each step several times, concurrently and then repeated: one release and refund, or no change."""
    campaign = await shop.campaign(stock=1000)
    steps, released = (release_refund, reject_refund, finish_refund, flag_refund), answer is AGREED
    for _ in range(ROUNDS):
        member, change = await requested(shop, campaign)
        change = change.model_copy(update={"action": RefundAction.CLOSE_MANUALLY, "act": act_of(), "answer": answer})
        if answer is not None:
            await answer_refund(shop.database, change)

        await shop.race(*(step(shop.database, change) for step in steps * 3))
        ends = [await step(shop.database, change) for step in steps * 2]

        assert {(end.status, end.released) for end in ends[4:]} == {("done" if released else "rejected", released)}
        assert (await shop.order_row(member))["status"] == ("refunded" if released else "paid")
        assert (await traces(shop, member))[1:] == ([REQUESTED, REFUNDED] if released else [REQUESTED])
        assert await counts(shop, member) == (("completed_with_refunds", 2, 2) if released else ("completed", 3, 3))


async def test_concurrent_refunds_of_the_last_two_members_fail_the_team(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2, stock=1000)
    last = set()
    for round_ in range(ROUNDS):
        one, other = await shop.team(campaign, paid=2, locked=0, callback=SHOP_ADDRESS)
        await shop.refund(one)
        await shop.refund(other)

        answers = await duel(shop, round_, one, shop.answer(one, AGREED), shop.answer(other, AGREED))

        assert {answer.team_status for answer in answers} == {"completed_with_refunds", "failed"}
        assert await traces(shop, one) == await traces(shop, other) == [FORMED, REQUESTED, REFUNDED]
        assert "team.failed" not in await shop.event_types(one)
        assert await counts(shop, one) == ("failed", 0, 0)
        last.add(answers[0].team_status)
    assert len(last) == 2


# --- many teams ---


async def test_concurrent_refunds_in_teams_with_shared_buyers_do_not_deadlock(shop: Shop) -> None:
    """They share quotas and one stock: no deadlocks, and no order is refunded twice."""
    kinds: Counter[str] = Counter()
    for _ in range(10):
        campaign = await shop.campaign(min_count=2, take_limit=4, stock=14)
        buyers = [shop.fresh("u") for _ in range(4)]
        steps: list[Callable[[], Awaitable[object]]] = []
        for paid in range(4):
            users = islice(cycle(buyers), paid, paid + 3)
            first = shop.opener(campaign, user=next(users), callback=SHOP_ADDRESS)
            members = [first, *(shop.joiner(first, user=user, callback=SHOP_ADDRESS) for user in users)]
            for member in members:
                await shop.lock(member)
            for member in members[:paid]:
                await shop.settle(member)
            if paid == 3:
                await shop.refund(first)
                steps.append(partial(shop.answer, first, RNG.choice([*MallAnswer])))
            steps.append(partial(shop.release, first))
            steps.append(partial(shop.conclude, first, RNG.choice([*TeamDecision]), DEADLINE))
            steps += [partial(shop.settle, member) for member in members]
            steps += [partial(shop.try_refund, member) for member in members]
            steps += [partial(shop.try_lock, shop.joiner(first, user=user)) for user in buyers]

        await shop.race(*(shop.retried(step) for step in RNG.sample(steps, len(steps))))

        assert await violations(shop.database, NOW) == []
        kinds.update(row["kind"] for row in await shop.rows("SELECT kind FROM refunds"))
    assert kinds.keys() == {*RefundKind}, kinds
    assert shop.deadlocks == 0
