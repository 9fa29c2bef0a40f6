"""Seats and payments."""

from temporalio import activity

import db.orders.lock
import db.orders.release
import db.orders.settle
from activities import interfaces
from activities.errors import database_errors
from db.core.connection import Database
from domain.errors import Refusal, StaleRequestError
from domain.messages.orders import LockSeat, RefusedSeat, ReleaseOverdue, SeatAnswer, SettledPayment, SettlePayment
from domain.messages.teams import TeamAnswer


class OrderActivities(interfaces.OrderActivities):
    """One transaction each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def lock_seat(self, request: LockSeat) -> SeatAnswer:
        with database_errors():
            try:
                return SeatAnswer(held=await db.orders.lock.lock_seat(self._database, request))
            except Refusal as refusal:
                return SeatAnswer(refused=RefusedSeat(code=refusal.code, detail=refusal.detail))
            except StaleRequestError:
                return SeatAnswer()

    @activity.defn
    async def settle_payment(self, payment: SettlePayment) -> SettledPayment:
        with database_errors():
            return await db.orders.settle.settle_payment(self._database, payment)

    @activity.defn
    async def release_overdue(self, request: ReleaseOverdue) -> TeamAnswer:
        with database_errors():
            return await db.orders.release.release_overdue(self._database, request)
