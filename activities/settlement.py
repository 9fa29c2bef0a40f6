"""Settlement: payments booked, and teams that end."""

from temporalio import activity

import db.settlement
import db.teams
from activities.failures import database_failures
from activities.first_tries import FirstTries
from db.connection import Database
from domain.messages import ConcludedTeam, ConcludeTeam, ExtendedTeam, ExtendTeam, SettledPayment, SettlePayment


class SettlementActivities:
    def __init__(self, database: Database, first_tries: FirstTries | None = None) -> None:
        self._database = database
        self._first_tries = first_tries

    @activity.defn
    async def settle_payment(self, payment: SettlePayment) -> SettledPayment:
        """Books a payment and, with the last one, completes the team; the mall is told at once where the workflow leaves it."""
        with database_failures():
            settled = await db.settlement.settle_payment(self._database, payment)
        if payment.tells_mall and settled.event_ids and self._first_tries is not None:
            self._first_tries.begin(payment.report.source, payment.report.team_id, settled.event_ids)
        return settled

    @activity.defn
    async def conclude_team(self, asked: ConcludeTeam) -> ConcludedTeam:
        """Completes or fails a forming team."""
        with database_failures():
            return await db.teams.conclude_team(self._database, asked)

    @activity.defn
    async def extend_team(self, asked: ExtendTeam) -> ExtendedTeam:
        """Gives a forming team a later deadline."""
        with database_failures():
            return await db.teams.extend_team(self._database, asked)
