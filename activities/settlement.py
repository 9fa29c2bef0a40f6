"""Settlement: payments booked, and teams that end."""

from temporalio import activity

import db.orders.settle
import db.teams.conclude
from activities.callbacks.first_tries import FirstTries
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.orders import SettledPayment, SettlePayment
from domain.messages.teams import ConcludedTeam, ConcludeTeam, ExtendedTeam, ExtendTeam


class SettlementActivities:
    def __init__(self, database: Database, first_tries: FirstTries | None = None) -> None:
        self._database = database
        self._first_tries = first_tries

    @activity.defn
    async def settle_payment(self, payment: SettlePayment) -> SettledPayment:
        """Books a payment and, with the last one, completes the team; the mall is told at once where the workflow leaves it."""
        with database_errors():
            settled = await db.orders.settle.settle_payment(self._database, payment)
        if payment.tells_mall and settled.event_ids and self._first_tries is not None:
            self._first_tries.begin(payment.report.source, payment.report.team_id, settled.event_ids)
        return settled

    @activity.defn
    async def conclude_team(self, asked: ConcludeTeam) -> ConcludedTeam:
        """Completes or fails a forming team."""
        with database_errors():
            return await db.teams.conclude.conclude_team(self._database, asked)

    @activity.defn
    async def extend_team(self, asked: ExtendTeam) -> ExtendedTeam:
        """Gives a forming team a later deadline."""
        with database_errors():
            return await db.teams.conclude.extend_team(self._database, asked)
