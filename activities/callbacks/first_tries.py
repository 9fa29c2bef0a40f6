"""The first try of a callback, at once and beside the workflows; what it leaves is the workflow's own.

A regular activity for every completed team costs a seventh of all CPU (docs/architecture.md), and most malls answer. So the
worker that has booked the last payment tells the mall itself. What that does not deliver it hands to the team's workflow, which
goes on for days where operators see it. What a crash leaves undone is found by the net: the outbox has it since the commit.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from activities.callbacks.deliver import CallbackActivities

log = logging.getLogger("groupbuy.callbacks")

AT_ONCE_PER_MALL = 20
"""further ones go to their workflows at once: a mall that hangs holds no more of this process"""
STOP_WITHIN = 2.0

HandOver = Callable[[str, list[str]], Awaitable[None]]
"""Gives events to the workflow of a team, by the team's id."""


class FirstTries:
    def __init__(self, callbacks: CallbackActivities, hand_over: HandOver) -> None:
        self._callbacks = callbacks
        self._hand_over = hand_over
        self._under_way: set[asyncio.Task[None]] = set()
        self._of_mall: Counter[str] = Counter()
        self._is_closing = False

    def begin(self, source: str, team_id: str, event_ids: list[str]) -> None:
        """Returns at once; to begin twice for the same events tells the mall at most twice."""
        task = asyncio.create_task(self._tell(source, team_id, event_ids))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def aclose(self) -> None:
        """Hands over what is not delivered by then."""
        self._is_closing = True
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=STOP_WITHIN)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=STOP_WITHIN)

    async def _tell(self, source: str, team_id: str, event_ids: list[str]) -> None:
        delivered = False
        try:
            if self._of_mall[source] < AT_ONCE_PER_MALL and not self._is_closing:
                delivered = await self._try(source, event_ids)
        finally:
            # Also when it is cancelled by a stop: its attempt may be lost, the event must not wait for the net.
            if not delivered:
                await self._give_away(team_id, event_ids)

    async def _try(self, source: str, event_ids: list[str]) -> bool:
        self._of_mall[source] += 1
        try:
            return await self._callbacks.try_once(source, event_ids)
        except Exception:
            log.exception("a first try of %s failed; its workflow goes on with it", ", ".join(event_ids))
            return False
        finally:
            self._of_mall[source] -= 1
            if not self._of_mall[source]:
                del self._of_mall[source]

    async def _give_away(self, team_id: str, event_ids: list[str]) -> None:
        try:
            await self._hand_over(team_id, event_ids)
        except Exception:
            log.exception("%s could not be handed to its team's workflow; the schedule finds it", ", ".join(event_ids))
