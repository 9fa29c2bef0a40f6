"""Which workflows are told first that their rows have changed, how many at once, and what if they do not listen."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from temporalio.service import RPCError, RPCStatusCode

from db.attention import list_attention
from db.teams.take_over import take_over
from db.teams.wakeups import WakeUp, claim_wakeups, give_back_wakeups, leave_wakeups, leave_wakeups_everywhere
from domain.lifecycle import TeamDecision, TeamStatus
from domain.messages.teams import RowsChanged, TakeOver, TeamFacts
from domain.wakeups import ATTEMPTS, BESIDE_BUYERS, FIRST_PAUSE, Urgency, pause_after, told_at_once
from tests.db.conftest import Server
from tests.db.shop import DEADLINE, NOW, SHOP_ADDRESS, TEAM_TTL, Member, Shop
from tests.stack.running import GROUPBUY
from workers.dispatcher import EngineAwayError, WakeUpDispatcher

SECOND = timedelta(seconds=1)
LEAVE = """
INSERT INTO team_wakeups (team_id, since, due_at, urgency, locks, payments, next_try_at)
VALUES ($1, $2, $3, $4, 0, 0, $2)
"""


async def leave(
    shop: Shop, name: str, since: datetime = NOW, *, due_at: datetime = NOW, urgency: Urgency = Urgency.SEATS
) -> None:
    """A wake-up of a team that needs no row to be claimed."""
    await shop.execute(LEAVE, name, since, due_at, urgency)


async def claim(shop: Shop, at_once: int, now: datetime = NOW) -> set[str]:
    return ids(await claim_wakeups(shop.database, now, at_once))


def ids(wakeups: Iterable[WakeUp]) -> set[str]:
    return {wakeup.team_id for wakeup in wakeups}


async def remaining(shop: Shop) -> dict[str, tuple[int, datetime]]:
    """The attempts of each team, and when it is told next."""
    rows = await shop.rows("SELECT team_id, attempts, next_try_at FROM team_wakeups")
    return {row["team_id"]: (row["attempts"], row["next_try_at"]) for row in rows}


async def test_decided_teams_are_told_first_then_by_what_is_due_and_a_quarter_are_the_oldest(shop: Shop) -> None:
    for number in range(8):
        await leave(shop, f"old-{number}", NOW - timedelta(hours=8 - number), due_at=NOW + timedelta(days=1))
        await leave(shop, f"due-{number}", due_at=NOW + number * SECOND)
    for number in range(3):
        await leave(shop, f"decided-{number}", due_at=NOW + timedelta(days=2), urgency=Urgency.DECIDED)
    await leave(shop, "later", NOW + SECOND, urgency=Urgency.DECIDED)

    told = await claim(shop, 8)

    assert told == {"old-0", "old-1", "decided-0", "decided-1", "decided-2", "due-0", "due-1", "due-2"}
    await shop.execute("DELETE FROM team_wakeups")


async def test_those_told_keep_their_places_until_they_took_over_or_had_the_time(shop: Shop) -> None:
    for number in range(6):
        await leave(shop, str(number), NOW - (6 - number) * SECOND)
    told = await claim(shop, 4)
    assert len(told) == 4
    assert await claim(shop, 4) == set()
    done = told.pop()
    await take_over(shop.database, TakeOver(team_id=done, now=NOW))
    assert len(await claim(shop, 4)) == 1
    assert await claim(shop, 4, NOW + FIRST_PAUSE - SECOND) == set()
    assert len(await claim(shop, 4, NOW + FIRST_PAUSE)) == 4
    await shop.execute("DELETE FROM team_wakeups")


async def test_dispatchers_that_claim_at_the_same_time_share_the_places(shop: Shop) -> None:
    for _ in range(10):
        for number in range(40):
            await leave(shop, str(number))

        claims = await shop.race(*(claim_wakeups(shop.database, NOW, 8) for _ in range(4)))

        told = Counter(wakeup.team_id for claimed in claims for wakeup in claimed)
        assert set(told.values()) == {1}
        assert told.total() <= 8
        await shop.execute("DELETE FROM team_wakeups")


async def test_who_does_not_take_over_is_told_ever_later_then_needs_a_person_and_holds_up_nobody(shop: Shop) -> None:
    (stuck,) = await shop.team(await shop.campaign())
    await leave_wakeups(shop.database, [stuck.team_id], NOW)
    now = NOW
    for attempts in range(ATTEMPTS):
        assert await list_attention(shop.database, None, 9) == []
        (told,) = await claim_wakeups(shop.database, now, 1)
        assert (told.team_id, told.attempts) == (stuck.team_id, attempts)
        assert await claim(shop, 1, now + pause_after(attempts) - SECOND) == set()
        now += pause_after(attempts)
    (attention,) = await list_attention(shop.database, None, 9)
    assert (attention.kind, attention.team_id) == ("wakeup", stuck.team_id)

    assert await claim(shop, 1, now) == {stuck.team_id}
    await leave(shop, "another", now)
    assert await claim(shop, 1, now + SECOND) == {"another"}
    await shop.execute("DELETE FROM team_wakeups")


async def test_what_could_not_be_told_because_the_engine_is_away_is_due_at_once_and_no_teams_fault(shop: Shop) -> None:
    for name in ("a", "b"):
        await leave(shop, name)
    for _ in range(2 * ATTEMPTS):
        assert await claim(shop, 8) == {"a", "b"}
        await give_back_wakeups(shop.database, ["a", "b"], NOW)
        assert await remaining(shop) == {"a": (0, NOW), "b": (0, NOW)}
    await shop.execute("DELETE FROM team_wakeups")


async def test_the_dispatcher_gives_back_what_temporal_did_not_take_and_records_what_it_refused(shop: Shop) -> None:
    campaign = await shop.campaign()
    taken, refused, away = [(await shop.team(campaign))[0].team_id for _ in range(3)]
    await leave_wakeups(shop.database, [taken, refused, away], NOW)
    await leave(shop, "without a row")
    failures = {refused: RPCStatusCode.INVALID_ARGUMENT, away: RPCStatusCode.UNAVAILABLE}

    async def tell(team: TeamFacts, _: TeamStatus, __: RowsChanged) -> None:
        if team.team_id in failures:
            raise RPCError("no", failures[team.team_id], b"")

    dispatcher = WakeUpDispatcher(shop.database, tell, at_once=8)
    with pytest.raises(EngineAwayError) as untold:
        await dispatcher.tell_next()
    assert untold.value.count == 1
    assert {name: attempts for name, (attempts, _) in (await remaining(shop)).items()} == {taken: 1, refused: 1, away: 0}
    assert await shop.value("SELECT error FROM team_wakeups WHERE error IS NOT NULL") == "INVALID_ARGUMENT: no"


async def test_few_are_told_at_a_time_while_buyers_need_the_engine_too(shop: Shop) -> None:
    campaign = await shop.campaign()
    teams = [(await shop.team(campaign))[0].team_id for _ in range(8)]
    await leave_wakeups(shop.database, teams, NOW)
    are_present = True

    async def tell(*_: object) -> None:
        pass

    dispatcher = WakeUpDispatcher(shop.database, tell, at_once=8, are_buyers_present=lambda: are_present)
    assert await dispatcher.tell_next() == BESIDE_BUYERS
    assert await dispatcher.tell_next() == 0, "none of these has taken over"
    are_present = False
    assert await dispatcher.tell_next() == 8 - BESIDE_BUYERS
    assert told_at_once(2, are_buyers_present=True) == 2


async def test_a_claim_and_a_take_over_of_the_same_team_do_not_wait_for_each_other_for_ever(shop: Shop) -> None:
    members = [(await shop.team(await shop.campaign()))[0] for _ in range(6)]
    for _ in range(10):
        await leave_wakeups(shop.database, [member.team_id for member in members], NOW)

        async def taken_over(member: Member) -> None:
            await take_over(shop.database, TakeOver(team_id=member.team_id, now=NOW))

        async def claimed() -> None:
            await claim_wakeups(shop.database, NOW, 8)

        async with asyncio.timeout(20):
            await shop.race(claimed(), *map(taken_over, members))
        assert await remaining(shop) == {}


async def test_every_live_team_can_be_woken_once_and_nobody_else_is(shop: Shop, server: Server) -> None:
    """After Temporal has lost its workflows: who forms, is in its refund window, or has something undelivered."""
    campaign = await shop.campaign(refund_window=3600)
    forming, over, undelivered, failed = [
        (await shop.team(campaign, locked=0, paid=3, callback=SHOP_ADDRESS if name == "undelivered" else None))[0]
        if name in {"over", "undelivered"}
        else (await shop.team(campaign))[0]
        for name in ("forming", "over", "undelivered", "failed")
    ]
    await shop.conclude(failed, TeamDecision.CLOSE)
    after_window = NOW + timedelta(seconds=3601)
    assert after_window < DEADLINE < NOW + timedelta(seconds=TEAM_TTL + 1)

    assert await leave_wakeups_everywhere(shop.database, NOW) == 3
    assert set(await remaining(shop)) == {forming.team_id, over.team_id, undelivered.team_id}
    await shop.execute("DELETE FROM team_wakeups")
    await leave_wakeups_everywhere(shop.database, after_window)
    assert set(await remaining(shop)) == {forming.team_id, undelivered.team_id}
    assert await leave_wakeups_everywhere(shop.database, after_window) == 2
    await shop.execute("DELETE FROM team_wakeups")

    environment = {**os.environ, "GROUPBUY_DATABASE_URL": server.database_url}
    process = await asyncio.create_subprocess_exec(GROUPBUY, "wake", "--all", env=environment, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert (process.returncode, output.decode().split()[0]) == (0, "2")
    assert set(await remaining(shop)) == {forming.team_id, undelivered.team_id}
