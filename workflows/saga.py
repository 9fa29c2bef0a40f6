"""What a saga needs beside its steps: compensations, and steps that a cancel must not interrupt."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from temporalio import workflow
from temporalio.exceptions import FailureError

AnswerT = TypeVar("AnswerT")


class Saga:
    """A block of steps. Where it ends by an exception, the compensations run, the last registered first, then it is raised on.

    Either way the block ends only when all handlers have finished.
    """

    def __init__(
        self, may_compensate: Callable[[], bool], on_end: Callable[[], None], on_failure: Callable[[BaseException], None]
    ) -> None:
        """
        Args:
            may_compensate: whether no handler is in a step that a compensation may have to take back.
            on_end: releases the handlers that wait for a step of the block, which has ended with its compensations.
            on_failure: is called last, where the block ends by an exception.
        """
        self._may_compensate = may_compensate
        self._on_end = on_end
        self._on_failure = on_failure
        self._compensations: list[Callable[[], Awaitable[object]]] = []

    def compensate_with(self, compensation: Callable[[], Awaitable[object]]) -> None:
        """Registers what takes a step back: before the step, whose outcome may stay unknown."""
        self._compensations.append(compensation)

    def commit(self) -> None:
        """From here on nothing is taken back."""
        self._compensations.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: type[BaseException] | None, exc: BaseException | None, __: TracebackType | None) -> None:
        if exc is not None and not ends_workflow(exc):
            return
        if exc is not None:
            await workflow.wait_condition(self._may_compensate)
            while self._compensations:
                await self._compensations.pop()()
        self._on_end()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if exc is not None:
            self._on_failure(exc)


def ends_workflow(exc: BaseException) -> bool:
    """Whether this exception ends the workflow: the SDK also raises in workflows to evict them from its cache."""
    return isinstance(exc, FailureError | asyncio.CancelledError)


async def run_to_completion(step: Coroutine[Any, Any, AnswerT], on_cancel: Callable[[], None]) -> AnswerT:
    """Waits for a step; a cancel of the workflow calls `on_cancel`, and does not interrupt the step."""
    running = asyncio.create_task(step)
    while not running.done():
        try:
            await workflow.wait_condition(running.done)
        except asyncio.CancelledError:
            on_cancel()
    return running.result()
