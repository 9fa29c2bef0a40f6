"""Seats: taken, and given up."""

from temporalio import activity

import db.orders.lock
import db.orders.release
from activities.errors import database_errors
from db.core.connection import Database
from domain.errors import Refusal
from domain.messages.orders import LockSeat, OverdueSeats, RefusedSeat, ReleasedSeats, SeatAnswer


class SeatActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def lock_seat(self, lock: LockSeat) -> SeatAnswer:
        """Takes a seat in one transaction, or says why not."""
        with database_errors():
            try:
                return SeatAnswer(seat=await db.orders.lock.lock_seat(self._database, lock))
            except Refusal as refusal:
                return SeatAnswer(refused=RefusedSeat(code=refusal.code, detail=refusal.detail))

    @activity.defn
    async def release_overdue_seats(self, overdue: OverdueSeats) -> ReleasedSeats:
        """Cancels the orders whose payment window and grace are over."""
        with database_errors():
            return await db.orders.release.release_overdue(self._database, overdue)
