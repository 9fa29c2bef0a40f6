"""Admits a lock or a payment on one of two ways; the transaction over the rows is the same (docs/crowds.md)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from temporalio.service import RPCError, RPCStatusCode

from api.http.temporal_errors import WorkflowGoneError
from api.runtime.admission import ADMISSIONS, AdmissionControl, EngineSilentError, Reason
from api.runtime.keyed_limit import KeyedLimit
from api.runtime.turns import Turn, shed
from db.core.connection import Database
from db.orders.lock import lock_seat_directly
from db.orders.queries import OrderLookup, OrderRecord
from db.orders.settle import settle_payment_directly
from db.orders.terms import TeamTerms
from domain.errors import Refusal, StaleRequestError, Unavailable
from domain.messages.orders import HeldSeat, LockSeat, PaymentReport, SeatRequest, SettledPayment, SettlePayment
from settings import Settings

RequestT = TypeVar("RequestT", SeatRequest, PaymentReport)
AnswerT = TypeVar("AnswerT")

TURNS_PER_TEAM = 4
"""direct transactions of one team at once: they wait for one row, and others need the connections"""
FENCE_MARGIN = 0.01
NEEDS_ENGINE = "Temporal or the workers of the teams do not answer, and this request needs them"


class NotAnsweredError(Exception):
    """No workflow has answered, so the request goes directly."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class TradeAdmission:
    def __init__(self, database: Database, control: AdmissionControl, settings: Settings) -> None:
        """`database`: connections for direct transactions alone."""
        self._database = database
        self._control = control
        self._is_auto = settings.admission == "auto"
        self._teams = KeyedLimit[str](TURNS_PER_TEAM)

    def require_engine(self, turn: Turn) -> None:
        """Raises Unavailable while the engine is known to be away: who needs it must not hold a turn until the time is over."""
        if self._control.is_engine_away:
            raise shed(turn, NEEDS_ENGINE)

    async def lock(
        self,
        request: SeatRequest,
        orchestrate: Callable[[SeatRequest], Awaitable[HeldSeat]],
        found: OrderLookup,
    ) -> tuple[HeldSeat, OrderRecord | None]:
        """Takes a seat; returns its order, too, where this process has it from the transaction.

        Args:
            request: the request.
            orchestrate: asks the team's workflow.
            found: what was read for the request a moment before.

        Raises:
            Refusal: a rule refuses the seat.
            WorkflowGoneError: the team has no workflow, and nothing may go directly.
            Unavailable, RPCError, TimeoutError: the outcome is unknown.
        """
        if not self._is_auto:
            return await self._only_orchestrated(Turn.LOCK, request, orchestrate), None
        fence: float | None = None
        reason = self._control.reason_against(request.team_id)
        if reason is None:
            # Until then the workflow may still take the seat, so that no refusal is final before.
            wait = self._control.wait
            fence = asyncio.get_running_loop().time() + wait + FENCE_MARGIN
            fenced = request.model_copy(update={"valid_until": found.asked_at + timedelta(seconds=wait)})
            try:
                return await self._orchestrated(Turn.LOCK, fenced, orchestrate), None
            except NotAnsweredError as not_answered:
                reason = not_answered.reason
        self._control.note_direct("lock", reason)
        try:
            if fence is None:
                return await self._lock_directly(request, found.team)
            return await self._lock_directly(request, was_asked_before=True)
        except Refusal:
            until_final = 0 if fence is None else fence - asyncio.get_running_loop().time()
            if until_final <= 0:
                raise
        await asyncio.sleep(until_final)
        return await self._lock_directly(request, was_asked_before=True)

    async def settle(
        self, report: PaymentReport, orchestrate: Callable[[PaymentReport], Awaitable[SettledPayment]]
    ) -> SettledPayment:
        """Books a payment.

        Raises:
            NotDirectError: no workflow has answered, and the payment needs one.
            Refusal: out_trade_no_reused, another amount was reported before.
            WorkflowGoneError: the team has no workflow, and nothing may go directly.
            Unavailable, RPCError, TimeoutError: the outcome is unknown.
        """
        if not self._is_auto:
            return await self._only_orchestrated(Turn.PAYMENT, report, orchestrate)
        reason = self._control.reason_against(report.team_id)
        if reason is None:
            try:
                return await self._orchestrated(Turn.PAYMENT, report, orchestrate)
            except NotAnsweredError as not_answered:
                reason = not_answered.reason
        self._control.note_direct("payment", reason)
        payment = SettlePayment(report=report, now=datetime.now(UTC))
        async with self._teams.slot(report.team_id):
            return await settle_payment_directly(self._database, payment)

    async def _only_orchestrated(
        self, turn: Turn, request: RequestT, orchestrate: Callable[[RequestT], Awaitable[AnswerT]]
    ) -> AnswerT:
        """Refuses at once what the engine does not answer, where nothing may go directly."""
        self.require_engine(turn)
        try:
            return await self._orchestrated(turn, request, orchestrate)
        except NotAnsweredError as not_answered:
            if not_answered.reason is Reason.NO_WORKFLOW:
                raise WorkflowGoneError from None
            raise shed(turn, NEEDS_ENGINE) from None

    async def _orchestrated(
        self, turn: Turn, request: RequestT, orchestrate: Callable[[RequestT], Awaitable[AnswerT]]
    ) -> AnswerT:
        async with self._control.under_way(request.team_id):
            try:
                async with self._time_limit():
                    result = await orchestrate(request)
            except EngineSilentError:
                self._control.note_miss(is_away=True)
                raise NotAnsweredError(Reason.ENGINE_AWAY) from None
            except (TimeoutError, Unavailable, StaleRequestError):
                self._control.note_miss()
                raise NotAnsweredError(Reason.NO_ANSWER) from None
            except RPCError as error:
                if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:  # too many updates of one workflow
                    raise NotAnsweredError(Reason.BOUND) from None
                if error.status is RPCStatusCode.INVALID_ARGUMENT:  # this request's fault: the engine answers
                    raise NotAnsweredError(Reason.NO_ANSWER) from None
                self._control.note_miss(is_away=True)
                raise NotAnsweredError(Reason.ENGINE_AWAY) from None
            except RuntimeError:  # the first connection to Temporal failed
                self._control.note_miss(is_away=True)
                raise NotAnsweredError(Reason.ENGINE_AWAY) from None
            except WorkflowGoneError:  # Temporal's own answer: it says nothing of the workers
                raise NotAnsweredError(Reason.NO_WORKFLOW) from None
            except Refusal:
                self._control.note_answer()
                raise
        self._control.note_answer()
        ADMISSIONS.labels(turn.name.lower(), "orchestrated", "").inc()
        return result

    def _time_limit(self) -> AbstractAsyncContextManager[object]:
        """Bounds the wait for a workflow, in auto by a time, after which the request goes directly."""
        return asyncio.timeout(self._control.wait) if self._is_auto else self._control.while_engine_answers()

    async def _lock_directly(
        self, request: SeatRequest, terms: TeamTerms | None = None, *, was_asked_before: bool = False
    ) -> tuple[HeldSeat, OrderRecord]:
        async with self._teams.slot(request.team_id):
            lock = LockSeat(request=request, now=datetime.now(UTC))
            return await lock_seat_directly(self._database, lock, terms=terms, was_asked_before=was_asked_before)
