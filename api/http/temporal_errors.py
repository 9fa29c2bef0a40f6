"""Failures of calls to Temporal as the API's own errors."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import ErrorCode, GroupBuyError, Refusal, StaleRequestError, Unavailable
from domain.messages.base import WorkflowFailure

log = logging.getLogger("groupbuy.api")

T = TypeVar("T")

READY_AFTER = (0.1, 0.3, 1.0)
"""seconds between the tries of an update whose workflow is not ready"""


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Bounds the time that a request may take.

    Raises:
        Unavailable: the time is over, or Temporal is unavailable; the outcome is unknown.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise Unavailable(f"No answer within {round(seconds, 1):g} s; repeat the same request.") from exc
    except RPCError as exc:
        log.warning("Temporal did not serve a request: %s: %s", exc.status.name, exc)
        raise Unavailable(f"Temporal did not answer ({exc.status.name}); repeat the same request.") from exc
    except WorkflowGoneError as exc:
        raise Unavailable("The workflow has ended meanwhile; repeat the same request.") from exc


@asynccontextmanager
async def retrieve_start_failure(start: WithStartWorkflowOperation[Any, Any]) -> AsyncIterator[None]:
    """Retrieves the exception of a failed start, because asyncio logs one that is never retrieved."""
    try:
        yield
    except (RPCError, WorkflowAlreadyStartedError, WorkflowUpdateRPCTimeoutOrCancelledError):
        with suppress(Exception):
            await start.workflow_handle()
        raise


async def repeat_until_ready(update: Callable[[], Awaitable[T]]) -> T:
    """Makes an update, which has an id, again while Temporal refuses it because the workflow's task has failed.

    A task fails for a moment where a signal or an update meets the workflow's end: the workflow goes on with it.

    Raises:
        RPCError: it was refused again and again, or failed otherwise.
    """
    for delay in READY_AFTER:
        try:
            return await update()
        except RPCError as exc:
            if exc.status is not RPCStatusCode.FAILED_PRECONDITION:
                raise
        await asyncio.sleep(delay)
    return await update()


@asynccontextmanager
async def translate_update_errors() -> AsyncIterator[None]:
    """Raises the failure of a workflow update as one of the platform's errors.

    Raises:
        Refusal: the workflow refused.
        WorkflowGoneError: there is no such workflow, or it has ended: what that means, the rows say.
        StaleRequestError: the workflow got to the request too late, and changed nothing.
        Unavailable: the outcome is unknown.
        GroupBuyError: internal_error, a defect that the workflow has flagged.
    """
    try:
        yield
    except WorkflowUpdateFailedError as exc:
        raise _error_of(exc.cause) from exc
    except WorkflowUpdateRPCTimeoutOrCancelledError as exc:
        raise Unavailable("The workflow did not answer in time; repeat the same request.") from exc
    except WorkflowAlreadyStartedError as exc:
        raise WorkflowGoneError from exc
    except RPCError as exc:
        if exc.status is RPCStatusCode.NOT_FOUND and not is_namespace_missing(exc):
            raise WorkflowGoneError from exc
        raise


class WorkflowGoneError(Exception):
    """There is no such workflow, or it has ended."""


def is_namespace_missing(error: RPCError) -> bool:
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)


def _error_of(cause: BaseException | None) -> GroupBuyError | StaleRequestError:
    if isinstance(cause, ApplicationError):
        if cause.type == WorkflowFailure.STALE_REQUEST:
            return StaleRequestError(cause.message)
        if cause.type == WorkflowFailure.TEAM_OVER:
            return Refusal(ErrorCode.TEAM_CLOSED, cause.message)
        if cause.type in set(ErrorCode):
            return Refusal(ErrorCode(cause.type), cause.message)
        if cause.type == WorkflowFailure.BROKEN_INVARIANT:
            return GroupBuyError(ErrorCode.INTERNAL_ERROR, "This is a defect of the platform; operators have been notified.")
    # The workflow ended while the update was under way.
    return Unavailable("The workflow was ending; repeat the same request.")
