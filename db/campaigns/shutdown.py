"""Campaigns that are ended at once, with every team that is still forming; and how far that is."""

from db.campaigns.store import NO_SEAT_CHANGES, lock_campaign, record_version
from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.settings.audit import record_change
from domain.ids import shutdown_workflow_id
from domain.lifecycle import CampaignStatus
from domain.messages.campaigns import BeginShutdown, CloseTeams, ReadShutdown, ShutdownState
from domain.schemas.campaign_shutdown import ShutdownPreview, ShutdownProgress, ShutdownStatus
from domain.schemas.workflows import WorkflowLink

PREVIEW = """
SELECT count(DISTINCT t.team_id) AS teams, count(o.order_id) AS orders,
       count(o.order_id) FILTER (WHERE o.status = 'locked') AS unpaid_orders,
       count(o.order_id) FILTER (WHERE o.status = 'paid') AS paid_orders,
       coalesce(sum(o.paid_amount) FILTER (WHERE o.status = 'paid'), 0) AS amount,
       (SELECT count(*) FROM teams d WHERE d.campaign_id = $1 AND d.status IN ('completed', 'completed_with_refunds'))
         AS completed_teams
  FROM teams t JOIN orders o ON o.team_id = t.team_id AND o.live
 WHERE t.campaign_id = $1 AND t.status = 'forming'
"""


async def preview_shutdown(database: Database, campaign_id: int) -> ShutdownPreview:
    """What it would mean to end the campaign now."""
    async with connection(database) as conn:
        row = await fetch_one(conn, PREVIEW, campaign_id)
    return ShutdownPreview(campaign_id=campaign_id, **row)


ENDING = "SELECT * FROM campaign_shutdowns WHERE campaign_id = $1"
BEGIN = """
INSERT INTO campaign_shutdowns (campaign_id, begun_by, reason, begun_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING campaign_id
"""
# Short statements, and no row that seats share: nobody takes a seat until they are committed.
END = "UPDATE campaigns SET status = 'ended', version = $2, updated_at = $3 WHERE campaign_id = $1"
STOP_SELLING = "UPDATE campaign_goods SET active = false WHERE campaign_id = $1 AND active"
TAKE_DOWN_TEAMS = """
INSERT INTO campaign_shutdown_teams (campaign_id, team_id)
SELECT campaign_id, team_id FROM teams WHERE campaign_id = $1 AND status = 'forming'
"""


async def begin_shutdown(database: Database, asked: BeginShutdown) -> None:
    """Makes the campaign ended and takes down the teams that are to go with it; a repeat finds it begun.

    Raises:
        Refusal: campaign_not_found.
    """
    async with transaction(database) as conn:
        if await conn.fetchrow(ENDING, asked.campaign_id) is not None:
            return
        # Who opens a team at this moment has done so, or finds the campaign ended: the list of its teams is whole.
        await conn.execute(NO_SEAT_CHANGES)
        campaign = await lock_campaign(conn, asked.campaign_id)
        if await conn.fetchval(BEGIN, asked.campaign_id, asked.operator, asked.reason, asked.now) is None:
            return
        if campaign.status is not CampaignStatus.ENDED:
            next_one = {"status": CampaignStatus.ENDED, "version": campaign.version + 1, "updated_at": asked.now}
            ended = campaign.model_copy(update=next_one)
            await conn.execute(END, asked.campaign_id, ended.version, asked.now)
            await conn.execute(STOP_SELLING, asked.campaign_id)
            await record_version(conn, ended, asked.operator)
        await conn.execute(TAKE_DOWN_TEAMS, asked.campaign_id)
        # Also where the campaign was ended before, with its teams left to run: who returns their money is recorded.
        content = {"campaign_id": asked.campaign_id, "reason": asked.reason}
        await record_change(conn, f"ending/{asked.campaign_id}", content, by=asked.operator, now=asked.now)


FORMING = """
SELECT team_id FROM campaign_shutdown_teams e JOIN teams t USING (team_id)
 WHERE e.campaign_id = $1 AND t.status = 'forming' AND team_id > $2 ORDER BY team_id LIMIT $3
"""


async def forming_teams(database: Database, asked: CloseTeams, after: str, limit: int) -> list[str]:
    """Teams of an ending that are still forming, by their id, those after the given one."""
    async with connection(database) as conn:
        return [row["team_id"] for row in await conn.fetch(FORMING, asked.campaign_id, after, limit)]


ANY_LEFT = """
SELECT EXISTS (SELECT FROM teams WHERE team_id = ANY($1::text[]) AND status = 'forming')
       OR EXISTS (SELECT FROM teams t JOIN orders o USING (team_id)
                   WHERE t.team_id = ANY($1::text[]) AND t.status = 'failed' AND o.status = 'paid')
"""


async def any_left(database: Database, team_ids: list[str]) -> bool:
    """Whether one of these teams is forming, or has failed and holds money that nobody has begun to return."""
    async with connection(database) as conn:
        return bool(await conn.fetchval(ANY_LEFT, team_ids))


# What goes back: paid seats of teams that are forming or have failed, and every refund of those teams that was not over when
# the ending began. A team that completed meanwhile delivers its goods; what its members undo later is no part of this.
PROGRESS = """
WITH team AS (
  SELECT t.team_id, t.status, t.completed_at
    FROM campaign_shutdown_teams s JOIN teams t USING (team_id) WHERE s.campaign_id = $1
), back AS (
  SELECT coalesce(r.amount, o.paid_amount) AS amount, r.status
    FROM team JOIN orders o USING (team_id)
    LEFT JOIN LATERAL (SELECT * FROM refunds f WHERE f.order_id = o.order_id AND f.kind <> 'unpaid'
                        ORDER BY f.attempt DESC LIMIT 1) r ON true
   WHERE team.completed_at IS NULL
     AND (o.status = 'paid' OR r.requested_at IS NOT NULL AND (r.finished_at IS NULL OR r.finished_at >= $2))
)
SELECT (SELECT count(*) FROM team) AS teams_total,
       (SELECT count(*) FROM team WHERE status <> 'forming') AS teams_done,
       (SELECT count(*) FROM team WHERE completed_at IS NOT NULL) AS teams_completed,
       count(*) AS refunds_total,
       count(*) FILTER (WHERE status = 'done') AS refunds_done,
       count(*) FILTER (WHERE status = 'attention') AS refunds_attention,
       coalesce(sum(amount), 0) AS amount_total,
       coalesce(sum(amount) FILTER (WHERE status = 'done'), 0) AS amount_returned
  FROM back
"""
FINISH = "UPDATE campaign_shutdowns SET finished_at = $2 WHERE campaign_id = $1 AND finished_at IS NULL"


async def measure_shutdown(database: Database, asked: ReadShutdown) -> ShutdownState:
    """How far the ending is by its rows; finishes it when nothing is left to wait for."""
    async with transaction(database) as conn:
        ending = await fetch_one(conn, ENDING, asked.campaign_id)
        counted = await _progress(conn, ending)
        state = ShutdownState(finished=ending["finished_at"] is not None, **counted)
        if not state.finished and state.is_complete:
            await conn.execute(FINISH, asked.campaign_id, asked.now)
            state = state.model_copy(update={"finished": True})
    return state


async def read_shutdown(database: Database, campaign_id: int) -> ShutdownProgress | None:
    """How far the ending of a campaign is; None where none has begun."""
    async with transaction(database) as conn:
        ending = await conn.fetchrow(ENDING, campaign_id)
        if ending is None:
            return None
        counted = await _progress(conn, ending)
    return ShutdownProgress(
        status=ShutdownStatus.RUNNING if ending["finished_at"] is None else ShutdownStatus.DONE,
        **ending,
        **counted,
        workflow=WorkflowLink(id=shutdown_workflow_id(campaign_id)),
    )


async def _progress(conn: Connection, ending: Row) -> Row:
    return await fetch_one(conn, PROGRESS, ending["campaign_id"], ending["begun_at"])
