"""Concluding a forming team, and extending its deadline: every way goes through the same guard, status = forming."""

from datetime import datetime

from db.callbacks.outbox import record_team_completed, record_team_event
from db.core.connection import Connection, Database, Row, fetch_one, transaction
from db.core.planner_hints import IS_FORMING
from db.orders.release import LOCK_TEAM, cancel_locked
from db.settings.audit import find_outcome, record_act
from db.teams.rows import COLUMNS, read_seats, read_team_row, team_row
from db.teams.wakeups import leave_wakeup
from domain.lifecycle import CancelReason, Completion, Conclusion, OrderStatus, TeamDecision, TeamStatus, conclude
from domain.messages.teams import ActedTeam, ConcludedTeam, ConcludeTeam, ExtendTeam
from domain.schemas.events import EventType
from domain.seats import is_overdue
from domain.wakeups import Urgency

COMPLETE = f"""
UPDATE teams SET status = 'completed', completion = $2, completed_at = $3, version = version + 1
 WHERE team_id = $1 AND {IS_FORMING}
"""
FAIL = f"""
UPDATE teams SET status = 'failed', fail_reason = $2, failed_at = $3, version = version + 1 WHERE team_id = $1 AND {IS_FORMING}
"""
MEMBERS = "SELECT out_trade_no, status, lock_expires_at FROM orders WHERE team_id = $1 ORDER BY locked_at, out_trade_no"


async def conclude_team(database: Database, request: ConcludeTeam, *, wakes_team: bool = False) -> ConcludedTeam:
    """Completes or fails a forming team by its rows; a repeat, or the loser of a race, gets the present state.

    An operator's act is recorded with its outcome, once however often it arrives.

    Args:
        database: the database.
        request: the team, and what is to become of it.
        wakes_team: not asked by the team's workflow, which has to take the change over.
    """
    async with transaction(database) as conn:
        team = await fetch_one(conn, LOCK_TEAM, request.team_id)
        members = await conn.fetch(MEMBERS, request.team_id)
        if request.act is None:
            return await _decide(conn, team, members, request, wakes_team=wakes_team)
        subject = f"team/{request.team_id}"
        if earlier := await find_outcome(conn, subject, request.act):
            return _unchanged(team, members, earlier.detail, changed=earlier.changed)
        concluded = await _decide(conn, team, members, request, wakes_team=wakes_team)
        await record_act(conn, subject, request.decision, request.act, concluded.outcome, request.now)
        return concluded


async def _decide(conn: Connection, team: Row, members: list[Row], request: ConcludeTeam, *, wakes_team: bool) -> ConcludedTeam:
    if team["status"] != TeamStatus.FORMING:
        return _unchanged(team, members, _was_over(team["status"]))
    if request.decision is TeamDecision.DEADLINE and (wait := _not_yet(team, members, request.now)):
        return _unchanged(team, members, wait)
    conclusion = conclude(request.decision, paid=team["complete_count"], min_count=team["min_count"])
    if conclusion is None:
        return _unchanged(team, members, "No member has paid, so the team cannot be completed.")
    if wakes_team:
        await leave_wakeup(conn, request.team_id, request.now, urgency=Urgency.DECIDED)
    return await _conclude(conn, team, members, conclusion, request.now)


def _was_over(status: TeamStatus) -> str:
    return f"The team was {status} already."


def _not_yet(team: Row, members: list[Row], now: datetime) -> str:
    """Returns why the deadline does not end the team now; empty if it does."""
    if now < team["deadline"]:
        return f"Its deadline is {team['deadline']:%Y-%m-%d %H:%M:%S} UTC."
    unpaid = [member["lock_expires_at"] for member in members if member["status"] == OrderStatus.LOCKED]
    if not all(is_overdue(lock_expires_at, team["payment_grace"], now) for lock_expires_at in unpaid):
        return "A payment may still come for an unpaid seat."
    return ""


async def _conclude(conn: Connection, team: Row, members: list[Row], conclusion: Conclusion, now: datetime) -> ConcludedTeam:
    team_id = team["team_id"]
    completed = conclusion.status is TeamStatus.COMPLETED
    await conn.execute(COMPLETE if completed else FAIL, team_id, conclusion.how, now)
    reason = CancelReason.TEAM_COMPLETED if completed else CancelReason.TEAM_FAILED
    numbers, cancellations = await cancel_locked(conn, team, reason, now)
    paid = [member["out_trade_no"] for member in members if member["status"] == OrderStatus.PAID]
    if isinstance(conclusion.how, Completion):
        events = await record_team_completed(conn, team_id, team["campaign_id"], conclusion.how, now)
    else:
        events = await record_team_event(conn, EventType.TEAM_FAILED, team_id, paid + numbers, now, reason=conclusion.how)
    return ConcludedTeam(
        team=await read_team_row(conn, team_id),
        seats=await read_seats(conn, team_id, numbers),
        decides_team=True,
        changed=True,
        detail=f"The team is {conclusion.status} ({conclusion.how}).",
        owed=[] if completed else paid,
        event_ids=events + cancellations,
    )


def _unchanged(team: Row, members: list[Row], detail: str, *, changed: bool = False) -> ConcludedTeam:
    """`changed`: an earlier transaction has done it."""
    failed = team["status"] == TeamStatus.FAILED
    return ConcludedTeam(
        team=team_row(team),
        changed=changed,
        detail=detail,
        owed=[member["out_trade_no"] for member in members if failed and member["status"] == OrderStatus.PAID],
        repeated=team["status"] != TeamStatus.FORMING,
    )


EXTEND = f"""
UPDATE teams SET deadline = deadline + make_interval(mins => $2::int), version = version + 1
 WHERE team_id = $1 AND {IS_FORMING}
RETURNING {COLUMNS}
"""


async def extend_team(database: Database, request: ExtendTeam) -> ActedTeam:
    """Gives a forming team more time; the act is done and recorded once, however often it arrives."""
    subject = f"team/{request.team_id}"
    async with transaction(database) as conn:
        team = await fetch_one(conn, LOCK_TEAM, request.team_id)
        if earlier := await find_outcome(conn, subject, request.act):
            return ActedTeam(team=team_row(team), changed=earlier.changed, detail=earlier.detail, repeated=True)
        extended = await conn.fetchrow(EXTEND, request.team_id, request.minutes)
        if extended is None:
            answer = ActedTeam(team=team_row(team), detail=_was_over(team["status"]))
        else:
            detail = f"Its deadline is {extended['deadline']:%Y-%m-%d %H:%M:%S} UTC, {request.minutes} min later than before."
            answer = ActedTeam(team=team_row(extended), changed=True, detail=detail)
        await record_act(conn, subject, "extend", request.act, answer.outcome, request.now)
        return answer
