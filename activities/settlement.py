"""Settlement: payments booked, and teams that end."""

from temporalio import activity

import db.settlement
import db.teams
from activities.failures import database_failures
from db.connection import Database
from domain.messages import ConcludedTeam, ConcludeTeam, ExtendedTeam, ExtendTeam, SettledPayment, SettlePayment


class SettlementActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def settle_payment(self, payment: SettlePayment) -> SettledPayment:
        """Books a payment and, with the last one, completes the team."""
        with database_failures():
            return await db.settlement.settle_payment(self._database, payment)

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
