"""Seats: taken, and given up."""

from temporalio import activity

import db.leaving
import db.seats
from activities.failures import database_failures
from db.connection import Database
from domain.errors import Refusal
from domain.messages import LockSeat, OverdueSeats, RefusedSeat, ReleasedSeats, SeatAnswer


class SeatActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def lock_seat(self, lock: LockSeat) -> SeatAnswer:
        """Takes a seat in one transaction, or says why not."""
        with database_failures():
            try:
                return SeatAnswer(seat=await db.seats.lock_seat(self._database, lock))
            except Refusal as refusal:
                return SeatAnswer(refused=RefusedSeat(code=refusal.code, detail=refusal.detail))

    @activity.defn
    async def release_overdue_seats(self, overdue: OverdueSeats) -> ReleasedSeats:
        """Cancels the orders whose payment window and grace are over."""
        with database_failures():
            return await db.leaving.release_overdue(self._database, overdue)
