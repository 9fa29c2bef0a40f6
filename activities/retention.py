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


class RetentionActivities(interfaces.RetentionActivities):
    def __init__(self, database: Database, days: int | None) -> None:
        """`days` None: nothing is removed."""
        self._database = database
        self._days = days

    @activity.defn
    async def remove_old_teams(self, request: RemoveOldTeams) -> RemovedTeams:
        """Removes one slice and is called again after a pause, so that trading hardly notices, however much is old."""
        if self._days is None:
            return RemovedTeams()
        before = progress_of(RemovedTeams)
        with database_errors():
            removal, is_more = await remove_next(self._database, request.now - timedelta(days=self._days), request.now)
        kept = Counter(before.kept) + Counter({str(reason): count for reason, count in removal.kept.items()})
        removed = RemovedTeams(
            days=self._days,
            teams=before.teams + removal.teams,
            orders=before.orders + removal.orders,
            events=before.events + removal.events,
            kept=dict(kept),
        )
        if is_more:
            raise next_batch(f"{removed.teams} team(s) removed", removed)
        return removed
