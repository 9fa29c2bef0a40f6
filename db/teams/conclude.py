"""Ending a forming team, and giving it more time: one guard, whoever asks."""

from datetime import datetime, timedelta

from db.callbacks.outbox import record_team_event
from db.core.connection import Connection, Database, Row, fetch_one, transaction
from db.core.planner_hints import IS_FORMING
from db.orders.release import LOCK_TEAM, cancel_locked
from domain.ids import event_id
from domain.lifecycle import CancelReason, Conclusion, FailReason, TeamDecision, TeamStatus, conclude
from domain.messages.teams import ConcludedTeam, ConcludeTeam, ExtendedTeam, ExtendTeam
from domain.schemas.events import EventType

COMPLETE = f"""
UPDATE teams SET status = 'completed', completion = $2, completed_at = $3 WHERE team_id = $1 AND {IS_FORMING}
"""
FAIL = f"""
UPDATE teams SET status = 'failed', fail_reason = $2, failed_at = $3 WHERE team_id = $1 AND {IS_FORMING}
"""
MEMBERS = """
SELECT order_id, out_trade_no, status, cancel_reason, lock_expires_at FROM orders WHERE team_id = $1
 ORDER BY locked_at, out_trade_no
"""


async def conclude_team(database: Database, asked: ConcludeTeam) -> ConcludedTeam:
    """Completes or fails a forming team by its rows; a repeat, and whoever comes second, gets what is true now."""
    async with transaction(database) as conn:
        team = await fetch_one(conn, LOCK_TEAM, asked.team_id)
        members = await conn.fetch(MEMBERS, asked.team_id)
        if team["status"] != TeamStatus.FORMING:
            return _as_it_is(team, members, f"The team was {team['status']} already.")
        if asked.ending is TeamDecision.DEADLINE and (wait := _not_yet(team, members, asked.now)):
            return _as_it_is(team, members, wait)
        conclusion = conclude(asked.ending, paid=team["complete_count"], min_count=team["min_count"])
        if conclusion is None:
            return _as_it_is(team, members, "Nobody has paid yet, so there is nobody to complete the team with.")
        return await _end(conn, team, members, conclusion, asked.now)


def _not_yet(team: Row, members: list[Row], now: datetime) -> str:
    """Why the deadline does not end the team now; empty when it does."""
    if now < team["deadline"]:
        return f"Its deadline is {team['deadline']:%Y-%m-%d %H:%M:%S} UTC."
    grace = timedelta(seconds=team["payment_grace"])
    if any(member["status"] == "locked" and now < member["lock_expires_at"] + grace for member in members):
        return "A payment may still come for an unpaid seat."
    return ""


async def _end(
    conn: Connection,
    team: Row,
    members: list[Row],
    conclusion: Conclusion,
    now: datetime,
) -> ConcludedTeam:
    team_id = team["team_id"]
    completed = conclusion.status is TeamStatus.COMPLETED
    await conn.execute(COMPLETE if completed else FAIL, team_id, conclusion.how, now)
    reason = CancelReason.TEAM_COMPLETED if completed else CancelReason.TEAM_FAILED
    cancelled = await cancel_locked(conn, team, reason, now)
    paid = [member["out_trade_no"] for member in members if member["status"] == "paid"]
    if completed:
        data: dict[str, str | int] = {"campaign_id": team["campaign_id"], "completion": conclusion.how}
        event = await record_team_event(conn, EventType.TEAM_COMPLETED, team_id, paid, now, **data)
    else:
        event = await record_team_event(conn, EventType.TEAM_FAILED, team_id, paid + cancelled, now, reason=conclusion.how)
    order_ids = {member["out_trade_no"]: member["order_id"] for member in members}
    return ConcludedTeam(
        team_status=conclusion.status,
        changed=True,
        detail=f"The team is {conclusion.status} ({conclusion.how}).",
        completed_at=now if completed else None,
        cancelled=cancelled,
        owed=[] if completed else paid,
        event_ids=[event, *(event_id(EventType.ORDER_CANCELLED, order_ids[cancelled_one]) for cancelled_one in cancelled)],
    )


def _as_it_is(team: Row, members: list[Row], detail: str) -> ConcludedTeam:
    status = TeamStatus(team["status"])
    failed = status is TeamStatus.FAILED
    by_ending = {CancelReason.TEAM_FAILED, CancelReason.TEAM_COMPLETED}
    ended_unpaid = [member for member in members if member["cancel_reason"] in by_ending]
    events = [event_id(EventType.ORDER_CANCELLED, member["order_id"]) for member in ended_unpaid]
    if team["completed_at"] is not None:
        events.append(event_id(EventType.TEAM_COMPLETED, team["team_id"]))
    if failed and team["fail_reason"] != FailReason.ABANDONED:
        events.append(event_id(EventType.TEAM_FAILED, team["team_id"]))
    return ConcludedTeam(
        team_status=status,
        changed=False,
        detail=detail,
        completed_at=team["completed_at"],
        cancelled=[member["out_trade_no"] for member in ended_unpaid],
        owed=[member["out_trade_no"] for member in members if failed and member["status"] == "paid"],
        event_ids=events,
    )


EXTEND = f"""
UPDATE teams SET deadline = greatest(deadline, $2) WHERE team_id = $1 AND {IS_FORMING} RETURNING status, deadline
"""
TEAM_NOW = "SELECT status, deadline FROM teams WHERE team_id = $1"


async def extend_team(database: Database, asked: ExtendTeam) -> ExtendedTeam:
    """Moves a forming team's deadline to a later moment; a repeat changes nothing more."""
    async with transaction(database) as conn:
        row = await conn.fetchrow(EXTEND, asked.team_id, asked.deadline)
        row = row or await fetch_one(conn, TEAM_NOW, asked.team_id)
    return ExtendedTeam(team_status=TeamStatus(row["status"]), deadline=row["deadline"])
