"""Turns: a bounded number of requests works, the others wait, and what cannot be answered in time is refused at once."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Any

from prometheus_client import Counter

from domain.errors import Unavailable

SHED = Counter("groupbuy_shed", "Requests that were refused at once: too many wait, or the engine is away", ["turn"])

SMOOTHING = 0.01
LONGEST_GAP = 0.1
"""seconds between two answers that count at most: a process that stood still for a moment is not slow"""
MOST_SECONDS = 10
"""the repeats of shed requests spread over so many seconds"""


class Turn(IntEnum):
    """What goes first, and is refused last."""

    PAYMENT = 0
    LOCK = 1
    QUOTE = 2


def shed(turn: Turn, detail: str) -> Unavailable:
    """Counts a request that is refused because it cannot be answered in time; returns the refusal."""
    SHED.labels(turn.name.lower()).inc()
    retry_after = random.randint(1, MOST_SECONDS)  # noqa: S311 - not a secret
    return Unavailable(f"{detail}; repeat the same request.", retry_after=retry_after)


class Queue:
    """Requests that wait for a turn. It goes from team to team, so that the joiners of one leave room for everybody else."""

    def __init__(self) -> None:
        self._by_team: OrderedDict[str, OrderedDict[asyncio.Future[None], None]] = OrderedDict()
        """the team whose turn is next comes first; none is empty"""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def ahead_of(self, team: str) -> int:
        """Returns how many are served, at most, before one that comes now."""
        own = len(self._by_team.get(team, ()))
        others = len(self._by_team) - (own > 0)
        return min(self._length, own + others * (own + 1))

    def add(self, team: str, request: asyncio.Future[None]) -> None:
        self._by_team.setdefault(team, OrderedDict())[request] = None
        self._length += 1

    def discard(self, team: str, request: asyncio.Future[None]) -> bool:
        """Removes a request; returns whether it waited."""
        requests = self._by_team.get(team, OrderedDict())
        if request not in requests:
            return False
        del requests[request]
        self._length -= 1
        if not requests:
            del self._by_team[team]
        return True

    def pop(self) -> asyncio.Future[None]:
        """Removes and returns the request that is next."""
        team, requests = next(iter(self._by_team.items()))
        request = next(iter(requests))
        self.discard(team, request)
        if requests:
            self._by_team.move_to_end(team)
        return request


class Turns:
    def __init__(self, at_once: int, patience: dict[Turn, float], first_interval: float) -> None:
        """
        Args:
            at_once: requests that work at the same time.
            patience: seconds that a request may wait; if it would take longer, it is refused at once.
            first_interval: seconds between two answers that are taken as possible when a crowd begins, before any were
                measured in it.
        """
        for turn in Turn:
            SHED.labels(turn.name.lower())  # a rate can be taken from the first one on
        self._free = at_once
        self._patience = patience
        self._waiting = {turn: Queue() for turn in Turn}
        self._first_interval = self._interval = first_interval
        self._last_end = 0.0
        self._held: dict[asyncio.Task[Any] | None, float] = {}
        """the seconds that each task has waited for its turn"""

    @asynccontextmanager
    async def take(self, turn: Turn, team: str = "") -> AsyncIterator[None]:
        """Waits for a turn and holds it. A task that holds one already, since the door of the API took it, keeps that.

        Args:
            turn: what it is for.
            team: which a buyer joins; all that name none go as one team.

        Raises:
            Unavailable: it would take too long.
        """
        task = asyncio.current_task()
        if task in self._held:
            yield
            return
        began = time.monotonic()
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(turn, team)
        self._held[task] = time.monotonic() - began
        try:
            yield
        finally:
            del self._held[task]
            self._end()

    def are_awaited(self) -> bool:
        """Returns whether requests wait for their turn."""
        return any(self._waiting.values())

    def waited(self) -> float:
        """Returns the seconds that this task has waited for the turn that it holds."""
        return self._held.get(asyncio.current_task(), 0)

    async def _wait(self, turn: Turn, team: str) -> None:
        waiting = self._waiting[turn]
        ahead = waiting.ahead_of(team) + sum(len(self._waiting[other]) for other in Turn if other < turn)
        if ahead * self._interval > self._patience[turn]:
            raise shed(turn, "Too many requests wait")
        mine = asyncio.get_running_loop().create_future()
        waiting.add(team, mine)
        try:
            # The estimate may have been wrong: work that begins too late is done in vain, while others wait for it.
            async with asyncio.timeout(self._patience[turn]):
                await mine
        except BaseException as exc:
            if not waiting.discard(team, mine) and not mine.cancelled():
                self._pass_on()  # the turn came together with the cancellation
            if isinstance(exc, TimeoutError):
                raise shed(turn, "Too many requests wait") from None
            raise

    def _end(self) -> None:
        now = time.monotonic()
        if self.are_awaited():  # only then is the time between two answers what one costs
            if self._last_end:
                self._interval += SMOOTHING * (min(now - self._last_end, LONGEST_GAP) - self._interval)
            self._last_end = now
        else:
            self._last_end, self._interval = 0.0, self._first_interval
        self._pass_on()

    def _pass_on(self) -> None:
        for waiting in self._waiting.values():
            while waiting:
                next_one = waiting.pop()
                if not next_one.done():
                    next_one.set_result(None)
                    return
        self._free += 1
