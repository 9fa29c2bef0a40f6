"""What an operator has settled is listed no more, and stands in the audit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from db.attention import group_attention, list_attention, resolve
from db.core.pagination import Position
from db.teams.queries import TeamFilter, list_teams
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import TeamDecision, TeamStatus
from domain.messages.acts import Outcome
from domain.schemas.attention import Attention, AttentionKind, Resolvable
from tests.acts import act_of
from tests.db.audit import audit_of
from tests.db.refunds.test_refunds import DEAD, cancelled_with_dead_callback
from tests.db.shop import NOW, SHOP_ADDRESS, Member, Shop

CONFLICT, CALLBACK = Resolvable.PAYMENT_CONFLICT, Resolvable.CALLBACK


async def listed(shop: Shop) -> list[tuple[str, str]]:
    return [(item.kind, item.subject) for item in await list_attention(shop.database, None, 99)]


async def dead_events(shop: Shop) -> tuple[Member, list[str]]:
    """A team that an operator closed, and whose callbacks were given up."""
    member, *_ = await shop.team(await shop.campaign(), paid=0, locked=2, callback=SHOP_ADDRESS)
    await shop.conclude(member, TeamDecision.CLOSE)
    await shop.execute(DEAD)
    return member, [subject for _, subject in await listed(shop)]


async def test_a_payment_conflict_is_settled_until_another_amount_comes(shop: Shop) -> None:
    member, *_ = await shop.team(await shop.campaign(), paid=1, locked=0)
    for amount in ("79.00", "81.00"):
        assert await shop.try_settle(member, Decimal(amount)) is ErrorCode.OUT_TRADE_NO_REUSED
    assert await listed(shop) == [("payment_conflict", member.order_id)] * 2

    settled = await resolve(shop.database, CONFLICT, member.order_id, act_of(reason="asked the mall"), NOW)
    again = await resolve(shop.database, CONFLICT, member.order_id, act_of("bob", "again"), NOW)

    assert settled == Outcome(changed=True, detail="Also reported, and settled by hand: 79.00, 81.00.")
    assert again == Outcome(changed=False, detail="No payment conflict of this order waits.")
    assert await listed(shop) == []
    assert [entry[:4] for entry in await audit_of(shop, f"payment_conflict/{member.order_id}")] == [
        ("resolve", "ann", "asked the mall", True),
        ("resolve", "bob", "again", False),
    ]
    assert await shop.try_settle(member, Decimal("79.00")) is ErrorCode.OUT_TRADE_NO_REUSED  # known, and settled
    assert await listed(shop) == []
    assert await shop.try_settle(member, Decimal("1.00")) is ErrorCode.OUT_TRADE_NO_REUSED
    assert await listed(shop) == [("payment_conflict", member.order_id)]


async def test_a_dead_callback_is_settled_and_the_others_wait(shop: Shop) -> None:
    _, [event, *others] = await dead_events(shop)

    settled = await resolve(shop.database, CALLBACK, event, act_of(reason="told by mail"), NOW)
    again = await resolve(shop.database, CALLBACK, event, act_of("bob", "again"), NOW)

    assert settled == Outcome(changed=True, detail="1 callback(s) that were given up are closed.")
    assert again == Outcome(changed=False, detail="No callback of this event was given up.")
    assert [subject for _, subject in await listed(shop)] == others
    assert len(others) == 2
    [first, second] = await audit_of(shop, f"callback/{event}")
    assert (first[:4], second[3]) == (("resolve", "ann", "told by mail", True), False)


async def test_a_refund_is_not_settled_as_a_callback(shop: Shop) -> None:
    member = await cancelled_with_dead_callback(shop)
    event = await shop.value("SELECT event_id FROM events WHERE order_id = $1 AND type = 'order.cancelled'", member.order_id)
    outcome = await resolve(shop.database, CALLBACK, event, act_of(), NOW)
    assert (outcome.changed, outcome.detail.split(":")[0]) == (False, "It is a refund's")
    assert await listed(shop) == [("refund", member.order_id)]


@pytest.mark.parametrize(("kind", "code"), [(CONFLICT, ErrorCode.ORDER_NOT_FOUND), (CALLBACK, ErrorCode.EVENT_NOT_FOUND)])
async def test_what_does_not_exist_is_refused(shop: Shop, kind: Resolvable, code: ErrorCode) -> None:
    with pytest.raises(Refusal) as refused:
        await resolve(shop.database, kind, "nothing", act_of(), NOW)
    assert refused.value.code is code
    assert await audit_of(shop, f"{kind}/nothing") == []


async def waiting(shop: Shop) -> list[str]:
    """Something of most kinds; returns the teams that it is of."""
    campaign = await shop.campaign(target_count=2)
    conflict, other = await shop.team(campaign, paid=2, locked=0)
    for member in (conflict, other):
        await shop.try_settle(member, Decimal("79.00"))
    asked, *_ = await shop.team(campaign, paid=2, locked=0, callback=SHOP_ADDRESS)
    await shop.refund(asked)
    await shop.execute("UPDATE refunds SET status = 'attention'")
    found, *_ = await shop.team(campaign, locked=1)
    await shop.execute(
        "INSERT INTO reconciliation_findings SELECT kind, $1, 'broken', 2, $2::timestamptz - n * interval '1 second', $2, $2"
        " FROM unnest(ARRAY['team', 'workflow', 'invariant']) WITH ORDINALITY k (kind, n)",
        found.team_id,
        NOW,
    )
    await shop.execute(
        "INSERT INTO reconciliation_findings SELECT 'mall', 's' || n, 'away', 1, $1, $1, $1 FROM generate_series(1, 3) n", NOW
    )
    await shop.team(campaign, locked=1)
    return [conflict.team_id, asked.team_id, found.team_id]


async def all_of(shop: Shop, kind: AttentionKind | None, *, oldest_first: bool, limit: int) -> list[Attention]:
    items: list[Attention] = []
    after = None
    while page := await list_attention(shop.database, after, limit, kind, oldest_first=oldest_first):
        items += page
        after = Position(page[-1].since, f"{page[-1].kind}/{page[-1].subject}")
    return items


@pytest.mark.parametrize("limit", [1, 2, 99])
async def test_what_waits_is_listed_from_either_end(shop: Shop, limit: int) -> None:
    await waiting(shop)
    oldest = await all_of(shop, None, oldest_first=True, limit=limit)
    newest = await all_of(shop, None, oldest_first=False, limit=limit)
    keys = [(item.since, f"{item.kind}/{item.subject}") for item in oldest]
    assert sorted(keys) == keys
    assert keys == [(item.since, f"{item.kind}/{item.subject}") for item in reversed(newest)]
    assert len(set(keys)) == 9


async def test_what_waits_is_grouped_by_kind_with_the_oldest_of_each(shop: Shop) -> None:
    await waiting(shop)
    groups = {group.kind: group for group in await group_attention(shop.database, 2)}
    assert {kind: group.count for kind, group in groups.items()} == {
        AttentionKind.REFUND: 1,
        AttentionKind.PAYMENT_CONFLICT: 2,
        AttentionKind.MALL: 3,
        AttentionKind.TEAM: 1,
        AttentionKind.WORKFLOW: 1,
        AttentionKind.INVARIANT: 1,
    }
    assert [item.subject for item in groups[AttentionKind.MALL].oldest] == ["s1", "s2"]
    for kind, group in groups.items():
        listed = await all_of(shop, kind, oldest_first=True, limit=9)
        assert (len(listed), {item.kind for item in listed}) == (group.count, {kind})


async def test_teams_are_found_by_what_waits_of_them_and_by_their_deadline(shop: Shop) -> None:
    teams = await waiting(shop)

    async def found(**filters: object) -> set[str]:
        return {team.team_id for team in await list_teams(shop.database, TeamFilter(**filters), None, 99)}  # type: ignore[arg-type]

    assert await found(attention=True) == set(teams)
    (calm,) = await found() - set(teams)
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    await shop.execute("UPDATE teams SET deadline = $2 WHERE team_id = $1", calm, in_an_hour)
    await shop.execute("UPDATE teams SET deadline = $2 WHERE team_id <> $1", calm, in_an_hour + timedelta(days=1))
    assert await found(due_within=3500) == set()
    assert await found(due_within=3700) == {calm}
    forming = {team.team_id for team in await list_teams(shop.database, TeamFilter(status=TeamStatus.FORMING), None, 99)}
    assert await found(due_within=3 * 86400) == forming
