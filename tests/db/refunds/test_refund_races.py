"""Undoing an order while everything else happens to it: one effect, told once, whoever comes first."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from itertools import cycle, islice
from typing import TypeVar, cast

import pytest

from db.callbacks.deliveries import Attempt, pending_deliveries, record_attempt
from db.core.connection import transaction
from db.core.invariants import violations
from db.refunds.steps import answer_refund, finish_refund, flag_refund, reject_refund, release_refund, resume_refund
from domain.errors import ErrorCode
from domain.ids import event_id
from domain.lifecycle import MallAnswer, PaymentOutcome, RefundKind, RefundStatus, TeamDecision, TeamStatus
from domain.messages.orders import HeldSeat
from domain.messages.refunds import ChangeRefund, RefundState
from domain.schemas.campaigns import Campaign
from tests.db.shop import DEADLINE, NOW, OVERDUE, SHOP_ADDRESS, Member, Shop, cancelled

ROUNDS = 40
LUCK = random.Random(20260502)  # noqa: S311 - no secret
AGREED, VETOED = MallAnswer.AGREED, MallAnswer.VETOED
CANCELLED, RESEATED, ASKED, REFUNDED = "order.cancelled", "order.reseated", "order.refund_requested", "order.refunded"
UNPAID, UNFORMED = "unpaid 0.00: done", "paid_unformed 80.00: awaiting_mall"
FORMED, UNSETTLED = "paid_formed 80.00: awaiting_mall", "unsettled 80.00: requested"

One = TypeVar("One")
Other = TypeVar("Other")


# --- two sides, at once ---

HOLD_TEAM = "SELECT FROM teams WHERE team_id = (SELECT team_id FROM orders WHERE order_id = $1) FOR UPDATE"
HOLD_REFUND = "SELECT FROM refunds WHERE order_id = $1 FOR UPDATE"


async def duel(
    shop: Shop, round_: int, of: Member, one: Awaitable[One], other: Awaitable[Other], hold: str = HOLD_TEAM
) -> tuple[One, Other]:
    """Both at once. Every other round is left to luck; in the rest they stand in line, in turns, for a row that is held."""
    sides = (one, other)
    if round_ % 2 == 0:
        return cast("tuple[One, Other]", tuple(await shop.race(*(with_a_run_up(shop, side) for side in sides))))
    started: dict[int, asyncio.Future[object]] = {}
    async with transaction(shop.database) as holder:
        await holder.execute(hold, of.order_id)
        for place, side in enumerate((0, 1) if round_ % 4 == 1 else (1, 0), start=1):
            started[side] = asyncio.ensure_future(sides[side])
            await shop.until_waiting(place)
    return cast("tuple[One, Other]", (await started[0], await started[1]))


async def with_a_run_up(shop: Shop, runner: Awaitable[One]) -> One:
    """Some round trips later, so that the side with the shorter way is not always ahead."""
    for _ in range(LUCK.randint(0, 5)):
        await shop.value("SELECT 1")
    return await runner


async def traces(shop: Shop, member: Member) -> list[str]:
    """The refunds of an order, and then what the mall hears of it."""
    refunds = "SELECT format('%s %s: %s', kind, amount, status) FROM refunds WHERE order_id = $1 ORDER BY attempt"
    events = "SELECT type FROM events WHERE order_id = $1 ORDER BY event_no"
    return [row[0] for sql in (refunds, events) for row in await shop.rows(sql, member.order_id)]


async def counts(shop: Shop, of: Member) -> tuple[str, int, int]:
    team = await shop.team_row(of)
    return team["status"], team["lock_count"], team["complete_count"]


# --- requests ---


@pytest.mark.parametrize(
    ("paid", "locked", "left_behind", "team"),
    [
        (1, 1, [UNPAID, CANCELLED], ("forming", 1, 1)),
        (2, 0, [UNFORMED, REFUNDED], ("forming", 1, 1)),
        (3, 0, [FORMED, ASKED], ("completed", 3, 3)),
    ],
    ids=["unpaid", "paid_unformed", "paid_formed"],
)
async def test_ten_requests_undo_an_order_once(
    shop: Shop, paid: int, locked: int, left_behind: list[str], team: tuple[str, int, int]
) -> None:
    campaign = await shop.campaign(stock=1000)
    for _ in range(ROUNDS):
        member = (await shop.team(campaign, paid=paid, locked=locked, callback=SHOP_ADDRESS))[-1]

        answers = await shop.race(*(shop.refund(member) for _ in range(10)))

        # Repeats say it, too: the first answer may be lost.
        assert {answer.left_live_team for answer in answers} == {paid < 3}
        assert len({*answers}) == 1
        assert await traces(shop, member) == left_behind
        assert await counts(shop, member) == team


async def test_a_refund_races_against_the_payment_of_its_order(shop: Shop) -> None:
    """Either it was paid and goes back as that, or the seat was given up and the payment is late: the money goes back once."""
    campaign = await shop.campaign(stock=1000)
    outcomes = set()
    for round_ in range(60):
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

        asks = refund.kind is RefundKind.PAID_FORMED
        assert (settled.outcome, settled.team.status) == ("settled", "completed" if asks else "forming")
        assert await traces(shop, leaver) == ([FORMED, ASKED] if asks else [UNFORMED, REFUNDED])
        assert await counts(shop, leaver) == (("completed", 3, 3) if asks else ("forming", 2, 2))
        if not asks:  # the seat is free, and the team goes on
            newcomer = shop.joiner(leaver)
            await shop.lock(newcomer)
            assert (await shop.settle(newcomer)).team.status is TeamStatus.COMPLETED
        assert (await shop.event_types(leaver)).count("team.completed") == 1
        kinds.add(refund.kind)
    assert len(kinds) == 2


NEWS = "SELECT data ->> 'out_trade_nos' FROM events WHERE team_id = $1 AND order_id IS NULL"


@pytest.mark.parametrize(
    ("ending", "of_two", "of_one"),
    [
        (TeamDecision.DEADLINE, "min_count", "expired"),
        (TeamDecision.COMPLETE, "operator", "operator"),
        (TeamDecision.CLOSE, "closed", "closed"),
    ],
)
async def test_a_refund_races_against_the_end_of_its_team(shop: Shop, ending: TeamDecision, of_two: str, of_one: str) -> None:
    campaign = await shop.campaign(target_count=4, min_count=2, stock=1000)
    ways = set()
    for round_ in range(ROUNDS):
        leaver, stayer, unpaid = await shop.team(campaign, paid=2, locked=1, callback=SHOP_ADDRESS)

        refund, ended = await duel(shop, round_, leaver, shop.refund(leaver), shop.conclude(leaver, ending))

        [(news,)] = await shop.rows(NEWS, leaver.team_id)
        had_left, completed = f'"{leaver.number}"' not in news, ended.team.status == "completed"
        team = await shop.team_row(leaver)
        assert (team["completion"] or team["fail_reason"]) == (of_one if had_left else of_two)
        assert (ended.decides_team, f'"{stayer.number}"' in news, cancelled(ended)) == (True, True, [unpaid.number])
        asks = completed and not had_left
        assert (refund.needs_consent, team["complete_count"]) == ((True, 2) if asks else (False, 1))
        assert (await shop.refund_row(leaver))["reason"] == ("buyer" if had_left or asks else "team_failed")
        assert await traces(shop, leaver) == ([FORMED, ASKED] if asks else [UNFORMED, REFUNDED])
        assert (leaver.number in ended.owed, stayer.number in ended.owed) == (not (completed or had_left), not completed)
        ways.add(had_left)
    assert len(ways) == 2


# --- seats that go free, and who wants them ---


async def insist(shop: Shop, newcomer: Member, seated: list[Member]) -> None:
    """Tries until somebody has the seat."""
    while not seated:
        if isinstance(await shop.try_lock(newcomer), HeldSeat):
            seated.append(newcomer)


async def test_a_seat_that_a_refund_frees_is_sold_once(shop: Shop) -> None:
    campaign = await shop.campaign(stock=1000)
    winners = set()
    for round_ in range(ROUNDS):
        members = await shop.team(campaign, paid=2, locked=1)
        leaver, newcomers = members[round_ % 3], [shop.joiner(members[0]) for _ in range(2)]
        seated: list[Member] = []

        await shop.race(shop.refund(leaver), *(insist(shop, newcomer, seated) for newcomer in newcomers))

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
async def test_a_late_payer_races_against_another_buyer_for_the_last_seat(shop: Shop, rival_is_late: bool) -> None:
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
    """It comes in the last second, and is the one that was missing: for the target, or for the minimum at the deadline."""
    campaign = await shop.campaign(target_count=target_count, min_count=2, stock=1000)
    outcomes = set()
    for round_ in range(ROUNDS):
        payer, late = await shop.team(campaign, paid=1, locked=1)
        await shop.release(late)
        payment = shop.settle(late, now=DEADLINE - timedelta(seconds=1))

        settled, ended = await duel(shop, round_, late, payment, shop.conclude(late, TeamDecision.DEADLINE))

        is_back = settled.outcome is PaymentOutcome.RESEATED
        assert ended.decides_team is not (is_back and target_count == 2)
        assert (ended.team.status, ended.owed) == (("completed", []) if is_back else ("failed", [payer.number]))
        assert await traces(shop, late) == ([CANCELLED, RESEATED] if is_back else [UNSETTLED, CANCELLED, REFUNDED])
        [(news,)] = await shop.rows(NEWS, late.team_id)
        assert (f'"{late.number}"' in news) is is_back
        outcomes.add(settled.outcome)
    assert len(outcomes) == 2


# --- the mall's answer, and the steps after it ---


async def asked(shop: Shop, campaign: Campaign) -> tuple[Member, ChangeRefund]:
    """A member of a completed team about whom the mall is being asked, and what moves that on."""
    member = (await shop.team(campaign, paid=3, locked=0, callback=SHOP_ADDRESS))[0]
    await shop.refund(member)
    return member, ChangeRefund(order_id=member.order_id, attempt=1, now=NOW)


async def mall_says(shop: Shop, change: ChangeRefund, answer: MallAnswer) -> RefundState:
    """Its reply to the question, and what follows from the answer that stands."""
    (delivery,) = await pending_deliveries(shop.database, [event_id(ASKED, change.order_id)])
    reply = Attempt(NOW, 5, 200 if answer is AGREED else 409, None, "delivered", NOW, answer, note="says the mall")
    await record_attempt(shop.database, delivery, reply)
    released = await release_refund(shop.database, change)
    return released if released.released else await reject_refund(shop.database, change)


@pytest.mark.parametrize("mall", [VETOED, AGREED], ids=["veto_against_approval", "yes_against_taking_back"])
async def test_the_malls_answer_races_against_an_operators(shop: Shop, mall: MallAnswer) -> None:
    """An operator approves in its place, or cancels the refund's workflow while the answer is on its way: the first stands."""
    campaign = await shop.campaign(stock=1000)
    operators, firsts = VETOED if mall is AGREED else AGREED, set()
    for round_ in range(ROUNDS):
        member, change = await asked(shop, campaign)
        operator = shop.answer(member, AGREED) if operators is AGREED else reject_refund(shop.database, change)

        await duel(shop, round_, member, mall_says(shop, change, mall), operator, HOLD_REFUND)

        refund = await shop.refund_row(member)
        agreed = refund["answer"] == AGREED
        # The mall's words stand beside its own answer, and beside no other.
        assert (refund["answer"], refund["note"]) in {(mall, "says the mall"), (operators, None)}
        assert (await shop.order_row(member))["status"] == ("refunding" if agreed else "paid")
        vetoed = ["paid_formed 80.00: rejected", ASKED]
        assert await traces(shop, member) == ([FORMED, ASKED, REFUNDED] if agreed else vetoed)
        assert await counts(shop, member) == (("completed_with_refunds", 2, 2) if agreed else ("completed", 3, 3))
        firsts.add(agreed)
    assert len(firsts) == 2


async def test_a_resend_races_against_the_end_of_its_refund(shop: Shop) -> None:
    """An operator has said that the mall was told elsewhere: after that nobody tells it again."""
    campaign = await shop.campaign(stock=1000)
    for round_ in range(ROUNDS):
        member = (await shop.team(campaign, paid=2, locked=0, callback=SHOP_ADDRESS))[0]
        await shop.refund(member)
        resend = resume_refund(shop.database, ChangeRefund(order_id=member.order_id, attempt=1, now=NOW))

        finished, _ = await duel(shop, round_, member, shop.finish(member), resend)

        assert finished.status is RefundStatus.DONE
        assert await pending_deliveries(shop.database, [event_id(REFUNDED, member.order_id)]) == []


@pytest.mark.parametrize("answer", [None, AGREED, VETOED])
async def test_the_steps_of_a_refund_at_once(shop: Shop, answer: MallAnswer | None) -> None:
    """Each of them more than once, and then again: the seat and the money go once, or everything is as before."""
    campaign = await shop.campaign(stock=1000)
    steps, released = (release_refund, reject_refund, finish_refund, flag_refund), answer is AGREED
    for _ in range(ROUNDS):
        member, change = await asked(shop, campaign)
        change = change.model_copy(update={"operator": "ann", "answer": answer})
        if answer is not None:
            await answer_refund(shop.database, change)

        await shop.race(*(step(shop.database, change) for step in steps * 3))
        ends = [await step(shop.database, change) for step in steps * 2]

        assert {(end.status, end.released) for end in ends[4:]} == {("done" if released else "rejected", released)}
        assert (await shop.order_row(member))["status"] == ("refunded" if released else "paid")
        assert (await traces(shop, member))[1:] == ([ASKED, REFUNDED] if released else [ASKED])
        assert await counts(shop, member) == (("completed_with_refunds", 2, 2) if released else ("completed", 3, 3))


async def test_the_last_two_members_of_a_team_leave_it_at_once(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2, stock=1000)
    last = set()
    for round_ in range(ROUNDS):
        one, other = await shop.team(campaign, paid=2, locked=0, callback=SHOP_ADDRESS)
        await shop.refund(one)
        await shop.refund(other)

        answers = await duel(shop, round_, one, shop.answer(one, AGREED), shop.answer(other, AGREED))

        assert {answer.team_status for answer in answers} == {"completed_with_refunds", "failed"}
        assert await traces(shop, one) == await traces(shop, other) == [FORMED, ASKED, REFUNDED]
        assert "team.failed" not in await shop.event_types(one)
        assert await counts(shop, one) == ("failed", 0, 0)
        last.add(answers[0].team_status)
    assert len(last) == 2


# --- everything ---


async def test_many_teams_with_the_same_buyers_trade_and_leave_at_once(shop: Shop) -> None:
    """Their quotas and one stock are the same rows: nobody waits in a circle, and nothing is undone twice."""
    kinds: Counter[str] = Counter()
    for _ in range(15):
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
                steps.append(partial(shop.answer, first, LUCK.choice([*MallAnswer])))
            steps.append(partial(shop.release, first))
            steps.append(partial(shop.conclude, first, LUCK.choice([*TeamDecision]), DEADLINE))
            steps += [partial(shop.settle, member) for member in members]
            steps += [partial(shop.try_refund, member) for member in members]
            steps += [partial(shop.try_lock, shop.joiner(first, user=user)) for user in buyers]

        await shop.race(*(shop.retried(step) for step in LUCK.sample(steps, len(steps))))

        assert await violations(shop.database) == []
        kinds.update(row["kind"] for row in await shop.rows("SELECT kind FROM refunds"))
    assert kinds.keys() == {*RefundKind}, kinds
    assert shop.deadlocks == 0
