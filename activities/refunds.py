"""Refunds: their transactions, and the start of their workflows."""

import asyncio
from datetime import timedelta
from typing import Protocol

from temporalio import activity

import db.refunds.open
import db.refunds.pending
import db.refunds.steps
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.reconciliation import FindLeftovers
from domain.messages.refunds import (
    ChangeRefund,
    OpenRefund,
    RefundByOperator,
    RefundInput,
    RefundState,
    StartedRefunds,
    StartTeamRefunds,
)

AT_ONCE = 20
"""refunds that are started side by side, and between two heartbeats"""
LATE_BY = timedelta(minutes=2)


class RefundActivities:
    """One transaction for each step of a refund."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def open_refund(self, asked: OpenRefund) -> RefundState:
        """Decides what is to be undone, and undoes what needs nobody's consent."""
        with database_errors():
            return await db.refunds.open.open_refund(self._database, asked)

    @activity.defn
    async def answer_refund(self, change: ChangeRefund) -> RefundState:
        """Keeps an operator's answer in the mall's place."""
        with database_errors():
            return await db.refunds.steps.answer_refund(self._database, change)

    @activity.defn
    async def release_refund(self, change: ChangeRefund) -> RefundState:
        """Frees the seat after a yes."""
        with database_errors():
            return await db.refunds.steps.release_refund(self._database, change)

    @activity.defn
    async def reject_refund(self, change: ChangeRefund) -> RefundState:
        """Makes the order paid again after a no."""
        with database_errors():
            return await db.refunds.steps.reject_refund(self._database, change)

    @activity.defn
    async def finish_refund(self, change: ChangeRefund) -> RefundState:
        """Books that the mall was told."""
        with database_errors():
            return await db.refunds.steps.finish_refund(self._database, change)

    @activity.defn
    async def flag_refund(self, change: ChangeRefund) -> RefundState:
        """Shows that the mall did not answer."""
        with database_errors():
            return await db.refunds.steps.flag_refund(self._database, change)

    @activity.defn
    async def resume_refund(self, change: ChangeRefund) -> RefundState:
        """Makes the refund's dead callbacks due again."""
        with database_errors():
            return await db.refunds.steps.resume_refund(self._database, change)


class StartsRefund(Protocol):
    """Starts the workflow of a refund; one that runs already is left alone."""

    async def __call__(self, refund: RefundInput) -> None: ...


class RefundStartActivities:
    """What starts refunds: the team's workflow, its failure, an operator, and the net."""

    def __init__(self, database: Database, start: StartsRefund) -> None:
        self._database = database
        self._start = start

    @activity.defn
    async def start_refund(self, refund: RefundInput) -> None:
        """Starts the refund of a payment that could not be settled."""
        await self._start(refund)

    @activity.defn
    async def start_team_refunds(self, asked: StartTeamRefunds) -> StartedRefunds:
        """Starts a refund for every paid order of a failed team, in slices; a retry goes on where the last one stopped."""
        after = str(activity.info().heartbeat_details[0]) if activity.info().heartbeat_details else ""
        started = 0
        while True:
            with database_errors():
                slice_ = await db.refunds.pending.owed_by_team(self._database, asked.team_id, after, AT_ONCE)
            if not slice_:
                return StartedRefunds(count=started)
            await asyncio.gather(*(self._start(refund) for refund in slice_))
            started += len(slice_)
            after = slice_[-1].out_trade_no
            activity.heartbeat(after)

    @activity.defn
    async def start_wished_refund(self, wish: RefundByOperator) -> str:
        """Starts a refund that an operator wants for a member of a team; returns what came of it, in a sentence."""
        with database_errors():
            found = await db.refunds.pending.refund_by_operator(self._database, wish)
        if isinstance(found, str):
            return found
        await self._start(found)
        return f"refund {found.attempt} of this order has a workflow of its own now"

    @activity.defn
    async def start_left_refunds(self, find: FindLeftovers) -> StartedRefunds:
        """Starts, again where need be, what is owed and has no live workflow, some at once."""
        since = find.now - LATE_BY
        with database_errors():
            left = await db.refunds.pending.record_unrecorded(self._database, find.now, AT_ONCE * 5)
            left += await db.refunds.pending.unfinished_refunds(self._database, find.now, since, AT_ONCE * 5)
            left += await db.refunds.pending.owed_by_failed_teams(self._database, since, AT_ONCE * 5)
        for begin in range(0, len(left), AT_ONCE):
            await asyncio.gather(*(self._start(refund) for refund in left[begin : begin + AT_ONCE]))
        return StartedRefunds(count=len(left))
