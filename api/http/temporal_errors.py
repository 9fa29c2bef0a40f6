"""What a request gets when it goes through a workflow: an answer in time, or one of our own errors."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import ErrorCode, GroupBuyError, Refusal, Unavailable
from domain.messages.base import WorkflowFailure

log = logging.getLogger("groupbuy.api")


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[None]:
    """Bounds a request.

    Raises:
        Unavailable: there was no answer in time, or Temporal is away: the outcome is open.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        raise Unavailable(f"No answer within {seconds:g} s; repeat the same request.") from late
    except RPCError as error:
        log.warning("Temporal did not serve a request: %s: %s", error.status.name, error)
        raise Unavailable(f"Temporal did not answer ({error.status.name}); repeat the same request.") from error


@asynccontextmanager
async def start_looked_at(start: WithStartWorkflowOperation[Any, Any]) -> AsyncIterator[None]:
    """Looks at the start's own failure: asyncio reports one that nobody has looked at."""
    try:
        yield
    except (RPCError, WorkflowAlreadyStartedError, WorkflowUpdateRPCTimeoutOrCancelledError):
        with suppress(Exception):
            await start.workflow_handle()
        raise


@asynccontextmanager
async def workflow_answers() -> AsyncIterator[None]:
    """Turns what an update failed with into our own errors."""
    try:
        yield
    except WorkflowUpdateFailedError as failure:
        raise _error_of(failure.cause) from failure
    except WorkflowUpdateRPCTimeoutOrCancelledError as late:
        raise Unavailable("The workflow did not answer in time; repeat the same request.") from late
    except WorkflowAlreadyStartedError as closed:
        raise Refusal(ErrorCode.TEAM_CLOSED, "This order's team has ended.") from closed
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise Refusal(ErrorCode.TEAM_CLOSED, "The team's workflow has ended.") from error
        raise


def _error_of(cause: BaseException | None) -> GroupBuyError:
    if isinstance(cause, ApplicationError):
        if cause.type == WorkflowFailure.TEAM_OVER:
            return Refusal(ErrorCode.TEAM_CLOSED, cause.message)
        if cause.type in set(ErrorCode):
            return Refusal(ErrorCode(cause.type), cause.message)
        if cause.type == WorkflowFailure.BROKEN_INVARIANT:
            return GroupBuyError(ErrorCode.INTERNAL_ERROR, "This is a defect of ours; an operator has been shown it.")
    # The workflow ended while the update was on its way.
    return Unavailable("The workflow was ending; repeat the same request.")
