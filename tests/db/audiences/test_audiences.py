"""Audience imports: written beside the members in force, put in force atomically, counted exactly."""

import asyncio
import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import activities.batches
from activities.audiences import AudienceActivities
from db.audiences.clean_up import (
    RULE_ABANDONED_AFTER,
    UPLOAD_ABANDONED_AFTER,
    clean_up_audiences,
    delete_members,
    find_replaced_import,
)
from db.audiences.imports import ImportProgress, add_members, begin_import, fail_import, finish_import, import_users
from db.audiences.store import is_member, list_audiences, read_audience, save_audience
from db.campaigns.store import change_campaign
from db.core.pagination import Position
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import TeamDecision
from domain.messages.acts import command_line_author as author
from domain.messages.audiences import AudienceImportInput
from domain.schemas.audiences import AudienceImport, AudienceRule, ImportStatus
from tests.db.attempts import Attempts
from tests.db.shop import NOW, SOURCE, Member, Shop

LATER = NOW + timedelta(hours=1)
MONTH = (NOW - timedelta(days=30), NOW + timedelta(days=1))


async def members(shop: Shop, audience_id: str = "vip") -> set[str]:
    """Returns the members in force, and checks the count that operators see against them."""
    sql = "SELECT m.user_id FROM audience_members m JOIN audiences USING (import_id) WHERE audience_id = $1"
    found = {row["user_id"] for row in await shop.rows(sql, audience_id)}
    assert (await read_audience(shop.database, audience_id)).member_count == len(found)
    return found


async def begin(shop: Shop, rule: AudienceRule | None = None, now: datetime = NOW) -> int:
    return await begin_import(shop.database, "vip", rule, by=author("ann"), now=now)


async def add(shop: Shop, import_id: int, *user_ids: str, accepted: int = 0) -> None:
    progress = ImportProgress(accepted or len(user_ids), accepted or len(user_ids), 0, ())
    await add_members(shop.database, import_id, set(user_ids), progress, NOW)


async def latest(shop: Shop) -> AudienceImport:
    latest = (await read_audience(shop.database, "vip")).filling
    assert latest is not None
    return latest


async def refused(call: Any) -> ErrorCode:  # noqa: ANN401
    with pytest.raises(Refusal) as refusal:
        await call
    return refusal.value.code


async def test_an_audience_is_created_and_renamed_with_audit_records(shop: Shop) -> None:
    for name, by, now in (("Best buyers", "ann", NOW), ("VIP 会员", "bob", LATER)):
        await save_audience(shop.database, "vip", name, by=author(by), now=now)

    found = await read_audience(shop.database, "vip")

    assert (found.name, found.member_count, found.created_at, found.updated_at) == ("VIP 会员", 0, NOW, LATER)
    assert found.filling is None
    assert await is_member(shop.database, "vip", "u1") is False
    recorded = await shop.rows("SELECT changed_by, content FROM changes WHERE subject = 'audience/vip' ORDER BY change_no")
    assert [(row["changed_by"], json.loads(row["content"])["name"]) for row in recorded] == [
        ("ann", "Best buyers"),
        ("bob", "VIP 会员"),
    ]


async def test_audiences_are_listed_newest_first(shop: Shop) -> None:
    for number, now in enumerate((NOW, NOW, LATER)):
        await save_audience(shop.database, f"a{number}", "x", by=author("ann"), now=now)
    await save_audience(shop.database, "a0", "renamed", by=author("ann"), now=LATER)

    async def listed(after: Position | None, limit: int) -> list[str]:
        return [found.audience_id for found in await list_audiences(shop.database, after, limit)]

    assert await listed(None, 10) == ["a2", "a1", "a0"]
    assert await listed(Position(NOW, "a1"), 10) == ["a0"]
    assert await listed(Position(LATER, "a2"), 1) == ["a1"]


async def test_unknown_audiences_are_not_found(shop: Shop) -> None:
    assert await refused(read_audience(shop.database, "vip")) is ErrorCode.AUDIENCE_NOT_FOUND
    assert await refused(is_member(shop.database, "vip", "u1")) is ErrorCode.AUDIENCE_NOT_FOUND
    assert await refused(begin(shop)) is ErrorCode.AUDIENCE_NOT_FOUND


async def test_an_upload_counts_every_user_once(shop: Shop) -> None:
    await shop.audience("vip", "u1", "u9")
    import_id = await begin(shop)
    await add(shop, import_id, "u1", "u2", accepted=3)
    await add(shop, import_id, "u2", "u3", accepted=6)

    under_way = await latest(shop)
    assert (under_way.status, under_way.accepted, under_way.member_count) == (ImportStatus.RUNNING, 6, 3)
    assert await members(shop) == {"u1", "u9"}

    await finish_import(shop.database, import_id, LATER)

    done = await latest(shop)
    assert (done.status, done.accepted, done.duplicates, done.member_count) == (ImportStatus.DONE, 6, 3, 3)
    assert (done.started_by, done.finished_at, done.workflow) == ("ann", LATER, None)
    assert await members(shop) == {"u1", "u2", "u3"}
    assert [await is_member(shop.database, "vip", user) for user in ("u2", "u9")] == [True, False]
    [recorded] = await shop.rows("SELECT * FROM changes WHERE subject = 'audience/vip' ORDER BY change_no DESC LIMIT 1")
    assert (recorded["changed_by"], json.loads(recorded["content"])["member_count"]) == ("ann", 3)


async def test_a_failed_import_leaves_the_members_in_force(shop: Shop) -> None:
    await shop.audience("vip", "u1")
    import_id = await begin(shop)
    await add(shop, import_id, "u2")

    await fail_import(shop.database, import_id, "The upload broke off after line 1.", NOW)

    assert await members(shop) == {"u1"}
    assert ((await latest(shop)).status, (await latest(shop)).failure) == ("failed", "The upload broke off after line 1.")
    assert await refused(add(shop, import_id, "u3")) is ErrorCode.AUDIENCE_CONFLICT
    assert await refused(finish_import(shop.database, import_id, NOW)) is ErrorCode.AUDIENCE_CONFLICT
    assert await members(shop) == {"u1"}


async def test_only_one_of_concurrent_imports_of_an_audience_begins(shop: Shop) -> None:
    await shop.audience("vip")

    async def try_begin() -> int | ErrorCode:
        try:
            return await begin(shop)
        except Refusal as refusal:
            return refusal.code

    answers = await shop.race(*(try_begin() for _ in range(8)))

    assert answers.count(ErrorCode.AUDIENCE_CONFLICT) == 7
    await shop.audience("other", "u1")  # another audience is independent


async def test_an_abandoned_import_fails_and_is_cleaned_up(shop: Shop) -> None:
    await shop.audience("vip", "u1")
    instant = timedelta(microseconds=1)
    abandoned = await begin(shop)
    await add(shop, abandoned, "u2")
    assert await refused(begin(shop, now=NOW + UPLOAD_ABANDONED_AFTER)) is ErrorCode.AUDIENCE_CONFLICT
    await begin(shop, AudienceRule(min_orders=1, since=NOW, until=LATER), now=NOW + UPLOAD_ABANDONED_AFTER + instant)
    assert await refused(add(shop, abandoned, "u2")) is ErrorCode.AUDIENCE_CONFLICT

    abandoned_at = NOW + UPLOAD_ABANDONED_AFTER + RULE_ABANDONED_AFTER + instant
    await clean_up_audiences(shop.database, abandoned_at)
    assert (await latest(shop)).status is ImportStatus.RUNNING
    await clean_up_audiences(shop.database, abandoned_at + instant)
    assert (await latest(shop)).failure == "It made no progress: the process that ran it has ended."
    assert await members(shop) == {"u1"}
    assert await shop.value("SELECT count(*) FROM audience_members") == 1  # the abandoned import's members are deleted


async def test_readers_see_the_members_of_exactly_one_import(shop: Shop) -> None:
    """Imports of 50 members follow each other, while the replaced members are deleted in slices of 7."""
    sql = """
    SELECT a.import_id, a.member_count, array_agg(m.user_id) AS users
      FROM audiences a JOIN audience_members m USING (import_id) WHERE audience_id = 'vip' GROUP BY a.audience_id
    """
    await shop.audience("vip", *(f"0-{number}" for number in range(50)))
    is_over = asyncio.Event()
    seen: set[str] = set()

    async def read() -> None:
        while not is_over.is_set():
            [row] = await shop.rows(sql)
            [generation] = {user.partition("-")[0] for user in row["users"]}
            assert len(row["users"]) == row["member_count"] == 50
            seen.add(generation)

    async def replace() -> None:
        for generation in range(1, 9):
            await shop.audience("vip", *(f"{generation}-{number}" for number in range(50)))
            while (import_id := await find_replaced_import(shop.database, "vip")) is not None:
                after: str | None = ""
                while after is not None:
                    after = await delete_members(shop.database, import_id, after, NOW, at_once=7)
        is_over.set()

    await asyncio.gather(replace(), *(read() for _ in range(4)))

    assert len(seen) > 3
    assert await shop.value("SELECT count(*) FROM audience_members") == 50


# --- imports by a rule ---


async def import_by_rule(shop: Shop, at_once: int = 2, **rule: Any) -> set[str]:  # noqa: ANN401
    """Imports by a rule in small slices, and returns the members."""
    since, until = MONTH
    import_id = await begin(shop, AudienceRule.model_validate({"since": since, "until": until, **rule}))
    while (await import_users(shop.database, import_id, NOW, at_once)).status is ImportStatus.RUNNING:
        pass
    return await members(shop)


async def test_a_rule_counts_paid_live_orders(shop: Shop) -> None:
    await shop.audience("vip", "former")
    campaign = await shop.campaign(take_limit=100, target_count=10)
    opener = shop.opener(campaign, user="ann")
    buyers = {"ann": [opener], "bob": [], "cy": [], "unpaid": [], "refunded": []}
    for user in ("bob", "cy", "unpaid", "refunded"):
        buyers[user].append(shop.joiner(opener, user=user))
    for user, more in (("ann", 2), ("bob", 1)):
        buyers[user] += [shop.opener(campaign, user=user) for _ in range(more)]
    for user, wanted in buyers.items():
        for member in wanted:
            await shop.lock(member)
            if user != "unpaid":
                await shop.settle(member)
    await shop.refund(buyers["refunded"][0])

    assert await import_by_rule(shop, min_orders=1) == {"ann", "bob", "cy"}
    assert await import_by_rule(shop, min_orders=2) == {"ann", "bob"}
    assert await import_by_rule(shop, min_amount="160.00") == {"ann", "bob"}
    assert await import_by_rule(shop, min_amount="160.01") == {"ann"}
    assert await import_by_rule(shop, min_orders=3, min_amount="80.00") == {"ann"}
    assert await import_by_rule(shop, min_orders=1, source="s02") == set()
    assert await import_by_rule(shop, min_orders=1, source=SOURCE, at_once=1000) == {"ann", "bob", "cy"}
    done = await latest(shop)
    assert (done.seen, done.accepted, done.bad, done.duplicates, done.report) == (3, 3, 0, 0, [])
    assert done.rule is not None
    assert done.workflow is not None
    assert done.workflow.id == f"audience-vip-{done.filling}"


async def test_a_rules_period_includes_its_begin_and_excludes_its_end(shop: Shop) -> None:
    await shop.audience("vip")
    campaign = await shop.campaign()
    early, late = (shop.opener(campaign, user=user) for user in ("early", "late"))
    for member, now in ((early, NOW), (late, LATER)):
        await shop.lock(member, now)
        await shop.settle(member, now=now)

    assert await import_by_rule(shop, min_orders=1, since=NOW, until=LATER) == {"early"}
    assert await import_by_rule(shop, min_orders=1, since=NOW, until=LATER + timedelta(seconds=1)) == {"early", "late"}
    assert await import_by_rule(shop, min_orders=1, since=NOW + timedelta(seconds=1), until=LATER) == set()


async def test_slices_keep_the_orders_of_a_user_in_several_malls_together(shop: Shop) -> None:
    """One order in each of two malls matches a rule of two orders, wherever the slices end."""
    await shop.audience("vip")
    campaign = await shop.campaign(take_limit=100)
    for number in range(7):
        await _pay(shop, shop.opener(campaign, user=f"u{number}"))
    await shop.execute(
        "UPDATE orders SET source = 's02' WHERE user_id IN ('u1', 'u3')"  # u1 and u3 buy in the other mall
    )
    for user in ("u0", "u3", "u6"):
        await _pay(shop, shop.opener(campaign, user=user))

    for at_once in (1, 2, 3, 100):
        assert await import_by_rule(shop, at_once=at_once, min_orders=2) == {"u0", "u3", "u6"}
        assert await import_by_rule(shop, at_once=at_once, min_orders=1) == {f"u{number}" for number in range(7)}
        assert (await latest(shop)).seen == 7
    await shop.execute("UPDATE orders SET source = 's01'")


async def test_concurrent_runs_of_one_import_count_each_user_once(shop: Shop) -> None:
    """As after a worker was presumed dead: the position is in the rows."""
    await shop.audience("vip")
    campaign = await shop.campaign()
    for number in range(9):
        await _pay(shop, shop.opener(campaign, user=f"u{number}"))
    import_id = await begin(shop, AudienceRule(min_orders=1, since=MONTH[0], until=MONTH[1]))

    async def job() -> None:
        while (await import_users(shop.database, import_id, NOW, 1)).status is ImportStatus.RUNNING:
            pass

    await shop.race(*(job() for _ in range(4)))

    assert await members(shop) == {f"u{number}" for number in range(9)}
    done = await latest(shop)
    assert (done.seen, done.accepted, done.member_count) == (9, 9, 9)


async def test_an_import_and_its_clean_up_give_their_slot_back_and_go_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.audience("vip", "former")
    await shop.audience("vip", *(f"former-{number}" for number in range(5)))
    await shop.team(await shop.campaign(), paid=2, locked=0)
    import_id = await begin(shop, AudienceRule(min_orders=1, since=MONTH[0], until=MONTH[1]))
    monkeypatch.setattr(activities.batches, "SECONDS", -1.0)
    audiences, request = AudienceActivities(shop.database), AudienceImportInput(audience_id="vip", import_id=import_id)

    importing = Attempts(audiences.import_members, request)
    assert (await importing.run()).member_count == 2
    assert importing.count == 2
    clearing = Attempts(audiences.clear_replaced_members, request)
    assert len((await clearing.run()).import_ids) == 2
    assert clearing.count == 3
    assert len(await members(shop)) == 2


async def test_a_rule_does_not_count_orders_of_failed_teams(shop: Shop) -> None:
    await shop.audience("vip", "former")
    (member,) = await shop.team(await shop.campaign(), paid=1, locked=0)
    await shop.conclude(member, TeamDecision.CLOSE, NOW)
    await shop.refund(member)

    assert await import_by_rule(shop, min_orders=1) == set()


async def _pay(shop: Shop, member: Member) -> None:
    await shop.lock(member)
    await shop.settle(member, Decimal("80.00"))


# --- campaigns ---


@pytest.mark.parametrize(
    "fields",
    [{"audience": "unknown"}, {"discount": {"plan": "cut", "expr": "20", "audience": "unknown"}}],
    ids=["campaign", "discount"],
)
async def test_a_campaign_cannot_name_an_audience_that_does_not_exist(shop: Shop, fields: dict[str, Any]) -> None:
    campaign = await shop.campaign()

    assert await refused(shop.campaign(**fields)) is ErrorCode.AUDIENCE_NOT_FOUND
    change = change_campaign(shop.database, campaign.campaign_id, fields, by=author("ann"), now=NOW)
    assert await refused(change) is ErrorCode.AUDIENCE_NOT_FOUND

    assert await shop.value("SELECT count(*) FROM campaigns") == 1
    await shop.audience("unknown")
    changed = await change_campaign(shop.database, campaign.campaign_id, fields, by=author("ann"), now=NOW, confirmed=True)
    assert "unknown" in (changed.audience, changed.discount.audience)
