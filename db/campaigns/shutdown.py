"""Campaign shutdowns: a campaign is ended together with its forming teams, and the progress is counted from the rows."""

from db.campaigns.store import block_seat_changes, lock_campaign
from db.campaigns.versions import record_version
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
    """Counts the forming teams and money that a shutdown would end and return now."""
    async with connection(database) as conn:
        row = await fetch_one(conn, PREVIEW, campaign_id)
    return ShutdownPreview(campaign_id=campaign_id, **row)


READ_SHUTDOWN = "SELECT * FROM campaign_shutdowns WHERE campaign_id = $1"
INSERT_SHUTDOWN = """
INSERT INTO campaign_shutdowns (campaign_id, begun_by, reason, begun_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING campaign_id
"""
# block_seat_changes keeps buyers waiting until commit, so these statements are few and short.
END_CAMPAIGN = "UPDATE campaigns SET status = 'ended', version = $2, updated_at = $3 WHERE campaign_id = $1"
INSERT_TEAMS = """
INSERT INTO campaign_shutdown_teams (campaign_id, team_id)
SELECT campaign_id, team_id FROM teams WHERE campaign_id = $1 AND status = 'forming'
"""


async def begin_shutdown(database: Database, request: BeginShutdown) -> None:
    """Ends the campaign and lists its forming teams for the shutdown; a repeat changes nothing.

    Raises:
        Refusal: campaign_not_found.
    """
    async with transaction(database) as conn:
        if await conn.fetchrow(READ_SHUTDOWN, request.campaign_id) is not None:
            return
        # A concurrent lock either has opened its team before this, or finds the campaign ended: the list of teams is complete.
        await block_seat_changes(conn)
        campaign = await lock_campaign(conn, request.campaign_id)
        shutdown = (request.campaign_id, request.author.operator, request.reason, request.now)
        if await conn.fetchval(INSERT_SHUTDOWN, *shutdown) is None:
            return
        if campaign.status is not CampaignStatus.ENDED:
            changes = {"status": CampaignStatus.ENDED, "version": campaign.version + 1, "updated_at": request.now}
            ended = campaign.model_copy(update=changes)
            await conn.execute(END_CAMPAIGN, request.campaign_id, ended.version, request.now)
            await record_version(conn, ended, request.author)
        await conn.execute(INSERT_TEAMS, request.campaign_id)
        # Recorded even if the campaign was ended before: the shutdown also returns the money of its running teams.
        content = {"campaign_id": request.campaign_id, "reason": request.reason}
        await record_change(conn, f"ending/{request.campaign_id}", content, by=request.author, now=request.now)


FORMING_TEAMS = """
SELECT team_id FROM campaign_shutdown_teams s JOIN teams t USING (team_id)
 WHERE s.campaign_id = $1 AND t.status = 'forming' AND team_id > $2 ORDER BY team_id LIMIT $3
"""


async def forming_teams(database: Database, request: CloseTeams, after: str, limit: int) -> list[str]:
    """Returns the ids, greater than `after`, of the shutdown's teams that are still forming."""
    async with connection(database) as conn:
        return [row["team_id"] for row in await conn.fetch(FORMING_TEAMS, request.campaign_id, after, limit)]


CLOSING_SHUTDOWNS = """
SELECT count(*) FROM campaign_shutdowns c
 WHERE c.finished_at IS NULL AND EXISTS (SELECT FROM campaign_shutdown_teams s JOIN teams t USING (team_id)
                                          WHERE s.campaign_id = c.campaign_id AND t.status = 'forming')
"""


async def closing_shutdowns(database: Database) -> int:
    """Counts the shutdowns that have forming teams to close."""
    async with connection(database) as conn:
        return int(await conn.fetchval(CLOSING_SHUTDOWNS))


ANY_UNFINISHED = """
SELECT EXISTS (SELECT FROM teams WHERE team_id = ANY($1::text[]) AND status = 'forming')
       OR EXISTS (SELECT FROM teams t JOIN orders o USING (team_id)
                   WHERE t.team_id = ANY($1::text[]) AND t.status = 'failed' AND o.status = 'paid')
"""


async def any_unfinished(database: Database, team_ids: list[str]) -> bool:
    """Whether one of these teams is forming, or has failed with a paid order whose refund has not begun."""
    async with connection(database) as conn:
        return bool(await conn.fetchval(ANY_UNFINISHED, team_ids))


# Refunds of a shutdown: the paid orders of its teams that are forming or have failed, and every refund of these teams that was
# unfinished when the shutdown began. A team that completed meanwhile ships its goods; later refunds of its orders do not count.
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
FINISH_SHUTDOWN = "UPDATE campaign_shutdowns SET finished_at = $2 WHERE campaign_id = $1 AND finished_at IS NULL"


async def measure_shutdown(database: Database, request: ReadShutdown) -> ShutdownState:
    """Counts the shutdown's progress from the rows, and finishes it when nothing is left to do."""
    async with transaction(database) as conn:
        shutdown = await fetch_one(conn, READ_SHUTDOWN, request.campaign_id)
        progress = await _progress(conn, shutdown)
        state = ShutdownState(finished=shutdown["finished_at"] is not None, **progress)
        if not state.finished and state.is_complete:
            await conn.execute(FINISH_SHUTDOWN, request.campaign_id, request.now)
            state = state.model_copy(update={"finished": True})
    return state


async def read_shutdown(database: Database, campaign_id: int) -> ShutdownProgress | None:
    """Returns the progress of a campaign's shutdown; None where none has begun."""
    async with transaction(database) as conn:
        shutdown = await conn.fetchrow(READ_SHUTDOWN, campaign_id)
        if shutdown is None:
            return None
        progress = await _progress(conn, shutdown)
    return ShutdownProgress(
        status=ShutdownStatus.RUNNING if shutdown["finished_at"] is None else ShutdownStatus.DONE,
        **shutdown,
        **progress,
        workflow=WorkflowLink(id=shutdown_workflow_id(campaign_id)),
    )


async def _progress(conn: Connection, shutdown: Row) -> Row:
    return await fetch_one(conn, PROGRESS, shutdown["campaign_id"], shutdown["begun_at"])
