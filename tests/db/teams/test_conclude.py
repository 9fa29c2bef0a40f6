"""Releasing overdue seats, concluding teams (at the deadline or by an operator), and extending them."""

from datetime import timedelta
from decimal import Decimal

import pytest

from db.teams.conclude import conclude_team, extend_team
from db.teams.take_over import read_rows
from domain.ids import event_id
from domain.lifecycle import OrderStatus, PaymentOutcome, TeamDecision, TeamStatus
from domain.messages.acts import Outcome
from domain.messages.teams import ConcludedTeam, ConcludeTeam, ExtendTeam
from tests.acts import act_of
from tests.db.audit import audit_of
from tests.db.shop import DEADLINE, GRACE, NOW, OVERDUE, SHOP_ADDRESS, Member, Shop, cancelled

INSTANT = timedelta(microseconds=1)


def numbers(members: list[Member]) -> list[str]:
    return sorted(member.number for member in members)


def same(one: ConcludedTeam, other: ConcludedTeam) -> bool:
    """Whether two answers have the same team and owed orders; the first answer and a repeat differ otherwise."""
    return (one.team, sorted(one.owed)) == (other.team, sorted(other.owed))


async def undelivered(shop: Shop, team: Member) -> set[str]:
    """The events that a workflow finds when it takes over the rows."""
    rows = (await read_rows(shop.database, team.team_id)).rows
    assert rows is not None
    return {*rows.event_ids}


# --- release_overdue ---


async def test_only_unpaid_seats_past_window_and_grace_are_released(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4, stock=10)
    paid, overdue = await shop.team(campaign, paid=1, locked=1)
    later = shop.joiner(paid)
    await shop.lock(later, NOW + timedelta(seconds=1))

    assert cancelled(await shop.release(paid, OVERDUE - INSTANT)) == []
    released = await shop.release(paid, OVERDUE)

    assert cancelled(released) == [overdue.number]
    assert released.team.status is TeamStatus.FORMING
    assert [(await shop.order_row(member))["status"] for member in (paid, overdue, later)] == ["paid", "cancelled", "locked"]
    assert (await shop.order_row(overdue))["cancel_reason"] == "lock_timeout"
    assert (await shop.team_row(paid))["lock_count"] == 2
    assert await shop.live_of(campaign, overdue.request.user_id) == 0
    assert await shop.value("SELECT live FROM campaign_stock") == 2
    assert await shop.event_types(paid) == ["order.cancelled"]


async def test_a_release_cancels_only_unpaid_orders(shop: Shop) -> None:
    completed = await shop.team(await shop.campaign(), paid=3, locked=0)
    forming = await shop.team(await shop.campaign(), paid=2, locked=0)
    refunding = await shop.team(await shop.campaign(), paid=1, locked=1)
    await shop.settle(refunding[1], Decimal("1.00"))

    for members in (completed, forming, refunding):
        before = [await shop.order_row(member) for member in members]
        released = await shop.release(members[0], DEADLINE + timedelta(days=400), [member.number for member in members])
        assert (cancelled(released), released.event_ids) == ([], [])
        assert [await shop.order_row(member) for member in members] == before


async def test_a_team_whose_last_seat_is_released_fails_without_team_event(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), locked=2)

    released = await shop.release(members[0])

    assert released.team.status is TeamStatus.FAILED
    team = await shop.team_row(members[0])
    assert (team["status"], team["fail_reason"], team["failed_at"]) == ("failed", "abandoned", OVERDUE)
    assert await shop.event_types(members[0]) == ["order.cancelled"] * 2


async def test_concurrent_releases_and_their_repeats_answer_with_the_rows(shop: Shop) -> None:
    campaign = await shop.campaign()
    for _ in range(20):
        members = await shop.team(campaign, paid=1, locked=2, callback=SHOP_ADDRESS)
        requested = numbers(members[1:])
        events = {event_id("order.cancelled", member.order_id) for member in members[1:]}

        answers = await shop.race(*(shop.release(members[0], OVERDUE, requested) for _ in range(3)))
        answers.append(await shop.release(members[0], DEADLINE, requested))

        for answer in answers:
            assert sorted(cancelled(answer)) == requested
            assert {*answer.event_ids} == (set() if answer.repeated else events)
        assert [answer.repeated for answer in answers].count(False) == 1
        assert await undelivered(shop, members[0]) == events
        assert await shop.event_types(members[0]) == ["order.cancelled"] * 2


async def test_a_release_answers_for_every_order_that_was_asked_about(shop: Shop) -> None:
    """A view that differs from the rows is corrected: locked there, and paid, refunded or absent here."""
    members = await shop.team(await shop.campaign(target_count=5), paid=1, locked=3, callback=SHOP_ADDRESS)
    await shop.settle(members[1])
    await shop.refund(members[2])

    answer = await shop.release(members[0], OVERDUE, [*numbers(members), "absent"])

    statuses = {seat.out_trade_no: (seat.status, seat.live) for seat in answer.seats}
    assert statuses == {
        members[0].number: (OrderStatus.PAID, True),
        members[1].number: (OrderStatus.PAID, True),
        members[2].number: (OrderStatus.CANCELLED, False),
        members[3].number: (OrderStatus.CANCELLED, False),
        "absent": (None, False),
    }
    assert (answer.repeated, len(answer.event_ids)) == (True, 1)


async def test_the_events_of_a_release_whose_answer_was_lost_are_found_after_a_late_payment(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), paid=1, locked=1, callback=SHOP_ADDRESS)
    requested = [members[1].number]
    released = await shop.release(members[0], OVERDUE, requested)
    reseated = await shop.settle(members[1], now=OVERDUE)
    assert reseated.outcome is PaymentOutcome.RESEATED

    again = await shop.release(members[0], OVERDUE, requested)

    assert (cancelled(released), cancelled(again), again.repeated) == (requested, [], True)
    assert await undelivered(shop, members[0]) == {*released.event_ids, *reseated.event_ids}


# --- conclude_team ---


async def test_nothing_is_to_be_delivered_where_no_mall_is_told(shop: Shop) -> None:
    leaver, *_ = await shop.team(await shop.campaign(target_count=5), paid=1, locked=2)

    released, concluded = await shop.release(leaver), await shop.conclude(leaver, TeamDecision.CLOSE)

    assert released.event_ids == concluded.event_ids == []
    assert await shop.event_types(leaver) == ["order.cancelled", "order.cancelled", "team.failed"]


async def test_the_deadline_fails_a_team_that_is_too_small(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(stock=9), paid=2, locked=1, callback=SHOP_ADDRESS)

    concluded = await shop.conclude(members[0], TeamDecision.DEADLINE)

    assert (concluded.team.status, concluded.decides_team) == (TeamStatus.FAILED, True)
    assert sorted(concluded.owed) == numbers(members[:2])
    assert cancelled(concluded) == [members[2].number]
    assert concluded.team.refund_until is None
    assert (await shop.order_row(members[2]))["cancel_reason"] == "team_failed"
    assert await shop.event_types(members[0]) == ["order.cancelled", "team.failed"]
    stored = {row["event_id"] for row in await shop.rows("SELECT event_id FROM events")}
    assert {*concluded.event_ids} == stored
    assert await shop.value("SELECT live FROM campaign_stock") == 2


@pytest.mark.parametrize(("paid", "status"), [(1, TeamStatus.FAILED), (2, TeamStatus.COMPLETED), (3, TeamStatus.COMPLETED)])
async def test_the_deadline_completes_a_team_with_enough_members(shop: Shop, paid: int, status: TeamStatus) -> None:
    members = await shop.team(await shop.campaign(target_count=5, min_count=2), paid=paid, locked=1)

    concluded = await shop.conclude(members[0], TeamDecision.DEADLINE)

    assert concluded.team.status is status
    completed = status is TeamStatus.COMPLETED
    assert (await shop.team_row(members[0]))["completion"] == ("min_count" if completed else None)
    assert (await shop.order_row(members[-1]))["cancel_reason"] == ("team_completed" if completed else "team_failed")
    assert sorted(concluded.owed) == ([] if completed else numbers(members[:paid]))
    assert concluded.team.refund_until == (DEADLINE + timedelta(days=7) if completed else None)


async def test_nothing_is_decided_before_the_deadline(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(min_count=1), paid=1, locked=1)

    early = await shop.conclude(members[0], TeamDecision.DEADLINE, DEADLINE - INSTANT)

    assert (early.decides_team, early.team.status) == (False, TeamStatus.FORMING)
    assert "deadline" in early.detail


async def test_a_payment_may_still_come_within_the_grace(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign(), paid=1, locked=0)
    late = shop.joiner(opener)
    await shop.lock(late, DEADLINE - timedelta(seconds=60))

    waiting = await shop.conclude(opener, TeamDecision.DEADLINE, DEADLINE + timedelta(seconds=GRACE) - INSTANT)
    assert (waiting.decides_team, waiting.team.status) == (False, TeamStatus.FORMING)
    assert "payment" in waiting.detail
    assert (await shop.order_row(late))["status"] == "locked"

    concluded = await shop.conclude(opener, TeamDecision.DEADLINE, DEADLINE + timedelta(seconds=GRACE))
    assert (concluded.team.status, cancelled(concluded)) == (TeamStatus.FAILED, [late.number])


async def test_an_operators_decision_does_not_wait_for_unpaid_seats(shop: Shop) -> None:
    closed = await shop.team(await shop.campaign(), paid=1, locked=1)
    completed = await shop.team(await shop.campaign(), paid=1, locked=1)

    assert (await shop.conclude(closed[0], TeamDecision.CLOSE, NOW)).owed == [closed[0].number]
    assert cancelled(await shop.conclude(completed[0], TeamDecision.COMPLETE, NOW)) == [completed[1].number]
    assert (await shop.team_row(closed[0]))["fail_reason"] == "closed"
    assert (await shop.team_row(completed[0]))["completion"] == "operator"


async def test_a_team_without_a_payment_cannot_be_completed(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())

    refused = await shop.conclude(opener, TeamDecision.COMPLETE)

    assert (refused.decides_team, refused.team.status, refused.event_ids) == (False, TeamStatus.FORMING, [])
    assert (await shop.order_row(opener))["status"] == "locked"


@pytest.mark.parametrize("decision", [*TeamDecision])
async def test_concurrent_conclusions_and_their_repeats_agree(shop: Shop, decision: TeamDecision) -> None:
    campaign = await shop.campaign(target_count=4, min_count=2)
    for _ in range(20):
        members = await shop.team(campaign, paid=2, locked=1)

        answers = await shop.race(*(shop.conclude(members[0], decision) for _ in range(4)))
        answers.append(await shop.conclude(members[0], decision, DEADLINE + timedelta(days=1)))

        assert [answer.decides_team for answer in answers].count(True) == 1
        assert all(same(answer, answers[0]) for answer in answers)


async def test_of_different_concurrent_conclusions_one_holds(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4, min_count=2)
    winners = set()
    for _ in range(20):
        members = await shop.team(campaign, paid=2, locked=1)

        answers = await shop.race(*(shop.conclude(members[0], decision) for decision in TeamDecision))

        assert [answer.decides_team for answer in answers].count(True) == 1
        assert all(same(answer, answers[0]) for answer in answers)
        team = await shop.team_row(members[0])
        winners.add(team["completion"] or team["fail_reason"])
    assert winners == {"min_count", "operator", "closed"}


async def test_a_completed_team_stays_completed(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), paid=3, locked=0)

    for decision in TeamDecision:
        answer = await shop.conclude(members[0], decision)
        assert (answer.decides_team, answer.team.status, answer.owed) == (False, TeamStatus.COMPLETED, [])
        assert (answer.repeated, answer.event_ids) == (True, [])


async def test_concurrent_ends_of_teams_with_shared_buyers_do_not_deadlock(shop: Shop) -> None:
    """They share quota rows, which were written in different orders."""
    campaign = await shop.campaign(target_count=6, take_limit=3, stock=1000)
    for _ in range(20):
        buyers = [shop.fresh("u") for _ in range(5)]
        teams = []
        for order in (buyers, buyers[::-1], buyers[2:] + buyers[:2]):
            members = [shop.opener(campaign, user=order[0])]
            members += [shop.joiner(members[0], user=user) for user in order[1:]]
            for member in members:
                await shop.lock(member)
            teams.append(members)

        async def end(members: list[Member], how: int) -> None:
            await shop.retried(lambda: shop.conclude(members[0], TeamDecision.CLOSE) if how else shop.release(members[0]))

        await shop.race(*(end(members, how) for how, members in enumerate(teams)))

        assert [await shop.live_of(campaign, user) for user in buyers] == [0] * 5
    assert shop.deadlocks == 0


# --- extend_team ---


def extension(of: Member, minutes: int = 60) -> ExtendTeam:
    return ExtendTeam(team_id=of.team_id, minutes=minutes, now=NOW, act=act_of(reason="a holiday"))


async def test_each_extension_counts_once_however_often_it_arrives(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())
    minutes, expected = [5, 1, 30], DEADLINE

    for _ in range(10):
        requested = [extension(opener, each) for each in minutes]
        answers = await shop.race(*(extend_team(shop.database, each) for each in requested * 2))
        expected += timedelta(minutes=sum(minutes))
        assert (await shop.team_row(opener))["deadline"] == expected
        assert [answers[n].outcome for n in range(3)] == [answers[n].outcome for n in range(3, 6)]
        assert [answer.repeated for answer in answers].count(True) == 3
    assert len(await audit_of(shop, f"team/{opener.team_id}")) == 30


async def test_an_ended_team_is_not_extended(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())
    await shop.conclude(opener, TeamDecision.CLOSE)

    answer = await extend_team(shop.database, extension(opener))

    assert (answer.team.status, answer.team.deadline) == (TeamStatus.FAILED, DEADLINE)
    told = ("extend", "ann", "a holiday", False, "The team was failed already.")
    assert await audit_of(shop, f"team/{opener.team_id}") == [told]


async def test_an_extension_races_against_the_deadline(shop: Shop) -> None:
    campaign = await shop.campaign()
    later = DEADLINE + timedelta(hours=1)
    extensions_won = set()
    for _ in range(20):
        (opener,) = await shop.team(campaign, paid=1, locked=0)

        async def extend(of: Member) -> bool:
            return (await extend_team(shop.database, extension(of))).changed

        async def conclude(of: Member) -> bool:
            return (await shop.conclude(of, TeamDecision.DEADLINE)).decides_team

        extended, concluded = await shop.race(extend(opener), conclude(opener))

        team = await shop.team_row(opener)
        assert (extended, concluded) in {(True, False), (False, True)}
        assert (team["status"], team["deadline"]) == (("forming", later) if extended else ("failed", DEADLINE))
        extensions_won.add(extended)
    assert extensions_won == {True, False}


# --- the audit ---


@pytest.mark.parametrize(
    ("decision", "paid", "changed", "detail"),
    [
        (TeamDecision.COMPLETE, 1, True, "The team is completed (operator)."),
        (TeamDecision.COMPLETE, 0, False, "No member has paid, so the team cannot be completed."),
        (TeamDecision.CLOSE, 1, True, "The team is failed (closed)."),
    ],
)
async def test_an_operator_s_act_stands_once_in_the_audit(
    shop: Shop, decision: TeamDecision, paid: int, changed: bool, detail: str
) -> None:
    opener, *_ = await shop.team(await shop.campaign(), paid=paid, locked=1)
    act = act_of(reason="enough")
    close = ConcludeTeam(team_id=opener.team_id, decision=decision, now=NOW, act=act)

    first, again = [await conclude_team(shop.database, close) for _ in range(2)]
    other = await conclude_team(shop.database, close.model_copy(update={"act": act_of("bob")}))

    assert first.outcome == again.outcome == Outcome(changed=changed, detail=detail)
    assert (again.decides_team, again.repeated) == (False, changed)
    assert (other.changed, other.decides_team) == (False, False)
    told, late = await audit_of(shop, f"team/{opener.team_id}")
    assert told == (decision, "ann", "enough", changed, detail)
    assert late == (decision, "bob", None, False, other.detail)


async def test_nobody_stands_in_the_audit_for_a_deadline(shop: Shop) -> None:
    opener, *_ = await shop.team(await shop.campaign(), paid=1, locked=0)
    assert (await shop.conclude(opener, TeamDecision.DEADLINE)).changed
    assert await audit_of(shop, f"team/{opener.team_id}") == []


async def test_acts_race_for_a_team_and_each_is_told_what_came_of_it(shop: Shop) -> None:
    campaign, firsts = await shop.campaign(), set()
    for _ in range(20):
        opener, *_ = await shop.team(campaign, paid=1, locked=0)
        acts = [ConcludeTeam(team_id=opener.team_id, decision=each, now=NOW, act=act_of(each)) for each in ACTS]

        answers = await shop.race(*(conclude_team(shop.database, act) for act in acts))

        told = await audit_of(shop, f"team/{opener.team_id}")
        assert {(action, by, changed, detail) for action, by, _, changed, detail in told} == {
            (act.decision, act.decision, answer.changed, answer.detail) for act, answer in zip(acts, answers, strict=True)
        }
        assert [answer.changed for answer in answers].count(True) == 1
        firsts.add(told[0][0])
    assert firsts == set(ACTS)


ACTS = (TeamDecision.COMPLETE, TeamDecision.CLOSE)
