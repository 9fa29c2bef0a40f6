"""Retention: removes old teams, a slice in each attempt."""

from collections import Counter
from datetime import timedelta

from temporalio import activity

from activities import interfaces
from activities.batches import next_batch, progress_of
from activities.errors import database_errors
from db.core.connection import Database
from db.retention.removal import remove_next
from domain.messages.retention import RemovedTeams, RemoveOldTeams
from domain.retention import Retention


class RetentionActivities(interfaces.RetentionActivities):
    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._retention = retention

    @activity.defn
    async def remove_old_teams(self, request: RemoveOldTeams) -> RemovedTeams:
        """Removes one slice and is called again after a pause, so that trading hardly notices, however much is old."""
        days, archives = self._retention.days, self._retention.archives
        if days is None:
            return RemovedTeams()
        before = progress_of(RemovedTeams)
        with database_errors():
            cutoff = request.now - timedelta(days=days)
            removal, is_more = await remove_next(self._database, cutoff, request.now, archives=archives)
        kept = Counter(before.kept) + Counter({str(reason): count for reason, count in removal.kept.items()})
        removed = RemovedTeams(
            days=days,
            teams=before.teams + removal.teams,
            orders=before.orders + removal.orders,
            events=before.events + removal.events,
            archived=archives,
            kept=dict(kept),
        )
        if is_more:
            raise next_batch(f"{removed.teams} team(s) {removed.done}", removed)
        return removed
