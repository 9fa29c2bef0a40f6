"""Turns: a bounded number of requests works, the others wait, and what cannot be answered in time is refused at once."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum

from prometheus_client import Counter

from domain.errors import Unavailable

SHED = Counter("groupbuy_shed", "Requests that were refused at once, because too many wait", ["turn"])

FIRST_INTERVAL = 0.003
"""seconds between two answers that are taken as possible when a crowd begins, before any were measured in it"""
SMOOTHING = 0.02
MOST_SECONDS = 10
"""the repeats of shed requests spread over so many seconds"""


class Turn(IntEnum):
    """What goes first, and is refused last."""

    PAYMENT = 0
    LOCK = 1
    QUOTE = 2


class Turns:
    def __init__(self, at_once: int, patience: dict[Turn, float]) -> None:
        """
        Args:
            at_once: requests that work at the same time.
            patience: seconds that a request may have to wait; if it were longer, it is refused at once.
        """
        self._free = at_once
        self._patience = patience
        self._waiting: dict[Turn, deque[asyncio.Future[None]]] = {turn: deque() for turn in Turn}
        self._interval = FIRST_INTERVAL
        self._last_end = 0.0

    @asynccontextmanager
    async def take(self, turn: Turn) -> AsyncIterator[None]:
        """Waits for a turn and holds it.

        Raises:
            Unavailable: it would take too long.
        """
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(turn)
        try:
            yield
        finally:
            self._end()

    async def _wait(self, turn: Turn) -> None:
        ahead = sum(len(self._waiting[other]) for other in Turn if other <= turn)
        if ahead * self._interval > self._patience[turn]:
            SHED.labels(turn.name.lower()).inc()
            retry_after = random.randint(1, MOST_SECONDS)  # noqa: S311 - not a secret
            raise Unavailable("Too many requests wait; repeat the same request.", retry_after=retry_after)
        mine = asyncio.get_running_loop().create_future()
        self._waiting[turn].append(mine)
        try:
            await mine
        except BaseException:
            if mine.done() and not mine.cancelled():
                self._pass_on()  # the turn came together with the cancellation
            raise

    def _end(self) -> None:
        now = time.monotonic()
        if any(self._waiting.values()):  # only then is the time between two answers what one costs
            if self._last_end:
                self._interval += SMOOTHING * (now - self._last_end - self._interval)
            self._last_end = now
        else:
            self._last_end, self._interval = 0.0, FIRST_INTERVAL
        self._pass_on()

    def _pass_on(self) -> None:
        for waiting in self._waiting.values():
            while waiting:
                if not (next_one := waiting.popleft()).done():
                    next_one.set_result(None)
                    return
        self._free += 1
