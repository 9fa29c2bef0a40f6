"""What a saga needs beside its steps: compensations, and steps that a cancel must not interrupt."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import FailureError

Answer = TypeVar("Answer")


class Compensations:
    """What takes back the steps that were done, the last one first. Each is registered before its step."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], Awaitable[object]]] = []

    def add(self, step: Callable[[], Awaitable[object]]) -> None:
        self._steps.append(step)

    def forget(self) -> None:
        """From here there is no way back."""
        self._steps.clear()

    async def run(self) -> None:
        while self._steps:
            await self._steps.pop()()


def ends_the_workflow(stopped: BaseException) -> bool:
    """Whether this is a real end: the SDK also takes workflows out of memory by raising in them."""
    return isinstance(stopped, FailureError | asyncio.CancelledError)


async def to_its_end(step: Coroutine[Any, Any, Answer], cancelled: Callable[[], None]) -> Answer:
    """Waits for a step; a cancel of the workflow is told to `cancelled`, and does not touch it."""
    running = asyncio.create_task(step)
    while not running.done():
        try:
            await workflow.wait_condition(running.done)
        except asyncio.CancelledError:
            cancelled()
    return running.result()
