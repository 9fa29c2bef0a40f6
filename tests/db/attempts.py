"""Calls an activity that works in batches as Temporal does: again and again, each time with what the last attempt left."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Generic, TypeVar

from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from domain.messages.base import WorkflowFailure

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


class Attempts(Generic[RequestT, AnswerT]):
    def __init__(self, activity: Callable[[RequestT], Awaitable[AnswerT]], request: RequestT) -> None:
        self._activity = activity
        self._request = request
        self._environment = ActivityEnvironment()
        self._environment.on_heartbeat = self._keep
        self.count = 0

    async def run(self) -> AnswerT:
        """Until there is an answer."""
        while (answer := await self.attempt()) is None:
            pass
        return answer

    async def attempt(self) -> AnswerT | None:
        """None where more is left to do."""
        self.count += 1
        try:
            return await self._environment.run(self._activity, self._request)
        except ApplicationError as error:
            if error.type != WorkflowFailure.NEXT_BATCH:
                raise
            return None

    def _keep(self, *progress: object) -> None:
        self._environment.info = replace(self._environment.info, heartbeat_details=progress)
