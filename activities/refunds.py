"""Refunds: their transactions, and the start of their workflows."""

import asyncio
from typing import Protocol

from temporalio import activity

import db.refunds.acts
import db.refunds.open
import db.refunds.pending
import db.refunds.steps
from activities import interfaces
from activities.batches import next_batch, progress_of
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.acts import Outcome
from domain.messages.refunds import (
    ChangeRefund,
    DeclineAct,
    OpenRefund,
    RefundByOperator,
    RefundInput,
    RefundState,
    StartedRefunds,
    StartingRefunds,
    StartTeamRefunds,
)

BATCH = 20
"""refunds that are started side by side"""
CHECKS = 5
"""attempts after which a team's next batch does not wait any more for the last one to begin"""


class RefundActivities(interfaces.RefundActivities):
    """One transaction for each step of a refund."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def open_refund(self, request: OpenRefund) -> RefundState:
        with database_errors():
            return await db.refunds.open.open_refund(self._database, request)

    @activity.defn
    async def answer_refund(self, change: ChangeRefund) -> RefundState:
        with database_errors():
            return await db.refunds.steps.answer_refund(self._database, change)

    @activity.defn
    async def release_refund(self, change: ChangeRefund) -> RefundState:
        with database_errors():
            return await db.refunds.steps.release_refund(self._database, change)

    @activity.defn
    async def reject_refund(self, change: ChangeRefund) -> RefundState:
        with database_errors():
            return await db.refunds.steps.reject_refund(self._database, change)

    @activity.defn
    async def finish_refund(self, change: ChangeRefund) -> RefundState:
        with database_errors():
            return await db.refunds.steps.finish_refund(self._database, change)

    @activity.defn
    async def flag_refund(self, change: ChangeRefund) -> RefundState:
        with database_errors():
            return await db.refunds.steps.flag_refund(self._database, change)

    @activity.defn
    async def resume_refund(self, change: ChangeRefund) -> RefundState:
        with database_errors():
            return await db.refunds.steps.resume_refund(self._database, change)

    @activity.defn
    async def decline_refund_act(self, request: DeclineAct) -> Outcome:
        with database_errors():
            return await db.refunds.acts.decline_act(self._database, request)


class StartsRefund(Protocol):
    """Starts the workflow of a refund, unless it runs already."""

    async def __call__(self, refund: RefundInput) -> None: ...


class RefundStartActivities(interfaces.RefundStartActivities):
    """Starts refunds for a team's workflow, a payment's and an operator."""

    def __init__(self, database: Database, start: StartsRefund) -> None:
        self._database = database
        self._start = start

    @activity.defn
    async def start_refund(self, refund: RefundInput) -> None:
        await self._start(refund)

    @activity.defn
    async def start_team_refunds(self, request: StartTeamRefunds) -> StartedRefunds:
        """Starts a refund for every paid order of a failed team, a batch at a time.

        The next batch follows when most of the last one have begun, so that a large team's refunds do not keep those of other
        teams waiting; some that cannot begin do not hold up the others.
        """
        progress = progress_of(StartingRefunds)
        with database_errors():
            waiting = await db.refunds.pending.count_owed(self._database, request.team_id, progress.after)
            if waiting > BATCH // 2 and progress.checks < CHECKS:
                raise next_batch(progress.done, progress.model_copy(update={"checks": progress.checks + 1}))
            batch = await db.refunds.pending.owed_by_team(self._database, request.team_id, progress.after, BATCH)
        await self._start_all(batch)
        started = progress.count + len(batch)
        if len(batch) < BATCH:
            return StartedRefunds(count=started)
        progress = StartingRefunds(after=batch[-1].out_trade_no, count=started)
        raise next_batch(progress.done, progress)

    @activity.defn
    async def start_refund_by_operator(self, request: RefundByOperator) -> Outcome:
        with database_errors():
            found = await db.refunds.pending.refund_by_operator(self._database, request)
        if isinstance(found, Outcome):
            return found
        await self._start(found)
        return Outcome(changed=True, detail=f"Refund {found.attempt} of this order has a workflow of its own.")

    async def _start_all(self, refunds: list[RefundInput]) -> None:
        await asyncio.gather(*(self._start(refund) for refund in refunds))
