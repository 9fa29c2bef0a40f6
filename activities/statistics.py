"""Counts the statistics of days."""

from datetime import timedelta

from temporalio import activity

from activities import interfaces
from activities.errors import database_errors
from db.core.connection import Database
from db.settlements import count_settlements
from db.statistics import count_day, counted_days
from domain.messages.statistics import CountDays, CountedDays
from domain.statistics import KEPT_DAYS, due_days

DAYS = 4
"""counted by one attempt, two transactions each"""


class StatisticsActivities(interfaces.StatisticsActivities):
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def count_days(self, request: CountDays) -> CountedDays:
        with database_errors():
            since = (request.now - timedelta(days=KEPT_DAYS)).date()
            due = due_days(await counted_days(self._database, since), request.now)
            for day in due[:DAYS]:
                await count_settlements(self._database, day, request.now)
                await count_day(self._database, day, request.now)
        counted = len(due[:DAYS])
        return CountedDays(counted=counted, remaining=len(due) - counted)
