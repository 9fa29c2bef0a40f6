"""Reads teams as they are now."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from db import attention
from db.core.connection import Database, Row, connection
from db.core.pagination import Conditions, Position
from domain.ids import team_workflow_id
from domain.lifecycle import TeamStatus
from domain.messages.teams import TeamFacts
from domain.schemas.teams import Member, OpsTeam, Team
from domain.schemas.workflows import WorkflowLink

MEMBERS = """
(SELECT json_agg(json_build_object('user_id', m.user_id, 'out_trade_no', m.out_trade_no, 'status', m.status)
                 ORDER BY m.locked_at, m.out_trade_no)
   FROM orders m WHERE m.team_id = t.team_id AND m.live) AS members,
-- All less the live ones, because an index alone counts all, and lock_count is the number of live ones.
(SELECT count(*) FROM orders m WHERE m.team_id = t.team_id) - t.lock_count AS left_count"""
"""The live members of team t, which are at most its target_count, and how many have left."""
MEMBER_LIST = TypeAdapter(list[Member])
TEAM = f"SELECT t.*, {MEMBERS} FROM teams t WHERE t.team_id = $1 AND ($2::text IS NULL OR t.source = $2)"


async def read_team(database: Database, source: str | None, team_id: str) -> Team | None:
    """Reads a team with its live members, of the given mall or (None) of any mall."""
    async with connection(database) as conn:
        row = await conn.fetchrow(TEAM, team_id, source)
    return None if row is None else team_from_row(row, row)


CHANGES = """
SELECT team_id, version + (SELECT count(*) FROM events e JOIN delivery_attempts a USING (event_id)
                            WHERE e.team_id = t.team_id)
                        + (SELECT count(*) FROM orders o JOIN refunds r USING (order_id)
                            WHERE o.team_id = t.team_id AND r.finished_at IS NOT NULL) AS changes
  FROM teams t WHERE team_id = ANY($1::text[])
"""


async def count_team_changes(database: Database, team_ids: Collection[str]) -> dict[str, int]:
    """Returns a number of each team that grows with its seats and payments, attempts to deliver, and refunds that end."""
    async with connection(database) as conn:
        return {row["team_id"]: row["changes"] for row in await conn.fetch(CHANGES, list(team_ids))}


FACTS = """
SELECT t.team_id, t.source, t.campaign_id, t.goods_id, coalesce(g.name, t.goods_id) AS goods_name, t.target_count, t.status
  FROM teams t LEFT JOIN goods g USING (goods_id) WHERE t.team_id = ANY($1::text[])
"""


async def read_team_facts(database: Database, team_ids: Collection[str]) -> dict[str, tuple[TeamFacts, TeamStatus]]:
    """Returns what the starts of these teams' workflows say, by team id; a team without a row is left out."""
    async with connection(database) as conn:
        rows = await conn.fetch(FACTS, list(team_ids))
    return {row["team_id"]: (TeamFacts(**row), TeamStatus(row["status"])) for row in rows}


@dataclass(frozen=True, slots=True)
class TeamFilter:
    source: str | None = None
    campaign_id: int | None = None
    goods_id: str | None = None
    status: TeamStatus | None = None
    due_within: int | None = None
    """only forming teams whose deadline is at most so many seconds away, or over"""
    attention: bool | None = None
    """true: only teams with something that waits for an operator"""


NEEDS_ATTENTION = f"team_id IN (SELECT a.team_id FROM ({attention.TEAMS}) a WHERE a.team_id IS NOT NULL)"


async def list_teams(database: Database, filters: TeamFilter, after: Position | None, limit: int) -> list[OpsTeam]:
    """Returns teams, newest first."""
    conditions = Conditions()
    for name in ("source", "campaign_id", "goods_id", "status"):
        conditions.equal(name, getattr(filters, name))
    if filters.due_within is not None:
        # Literal, so that the index of forming teams can be used.
        conditions.add("status = 'forming' AND deadline <= {}", datetime.now(UTC) + timedelta(seconds=filters.due_within))
    if filters.attention:
        conditions.add(NEEDS_ATTENTION)
    conditions.after("opened_at, team_id", after)
    sql = f"SELECT * FROM teams WHERE {conditions} ORDER BY opened_at DESC, team_id DESC LIMIT {int(limit)}"
    async with connection(database) as conn:
        rows = await conn.fetch(sql, *conditions.values)
    fields = set(OpsTeam.model_fields) - {"workflow"}
    return [
        OpsTeam(**{field: row[field] for field in fields}, workflow=WorkflowLink(id=team_workflow_id(row["team_id"])))
        for row in rows
    ]


def team_key(team: OpsTeam) -> tuple[datetime, str]:
    """Returns what the list above is sorted by."""
    return team.opened_at, team.team_id


def team_from_row(row: Row, members: Row) -> Team:
    """Converts a row of `teams`, and the row that has MEMBERS."""
    return Team(
        team_id=row["team_id"],
        campaign_id=row["campaign_id"],
        goods_id=row["goods_id"],
        status=row["status"],
        target_count=row["target_count"],
        lock_count=row["lock_count"],
        complete_count=row["complete_count"],
        opened_at=row["opened_at"],
        deadline=row["deadline"],
        completed_at=row["completed_at"],
        members=MEMBER_LIST.validate_json(members["members"] or "[]"),
        left_count=members["left_count"],
        workflow=WorkflowLink(id=team_workflow_id(row["team_id"])),
    )
