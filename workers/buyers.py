"""Whether buyers need the engine at present: what workers do by themselves makes room for them."""

import math
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

PRESENT_FOR = timedelta(seconds=5)
"""after the latest step that a process has made for one"""


class Buyers:
    """What a worker process sees of those who wait for an answer of a workflow."""

    def __init__(self) -> None:
        self._latest = -math.inf

    def are_present(self) -> bool:
        return time.monotonic() - self._latest < PRESENT_FOR.total_seconds()

    def note(self) -> None:
        self._latest = time.monotonic()


class NotesBuyers(Interceptor):
    """Notes a buyer with each of these activities of a worker."""

    def __init__(self, buyers: Buyers, activities: Collection[Callable[..., Any]]) -> None:
        self._buyers = buyers
        self._activities = frozenset(activities)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _NotesBuyer(next, self._buyers, self._activities)


class _NotesBuyer(ActivityInboundInterceptor):
    def __init__(
        self,
        next: ActivityInboundInterceptor,  # noqa: A002
        buyers: Buyers,
        activities: Collection[Callable[..., Any]],
    ) -> None:
        super().__init__(next)
        self._buyers = buyers
        self._activities = activities

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        if input.fn in self._activities:
            self._buyers.note()
        return await super().execute_activity(input)
