"""A load process: callers in a closed loop, in rounds that the bench asks for on stdin.

It measures its own latencies and says when a measured interval begins and ends, so that CPU is read at the same moments.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

RAMP = 1.0
"""seconds until callers that began together have drifted apart, before anything counts"""

READY, MEASURING, MEASURED = "ready", "measuring", "measured"


class Round(BaseModel):
    name: str
    """begins every id that the callers make up"""
    play: str
    """what the callers do, by name"""
    callers: int
    seconds: float


class Played(BaseModel):
    seconds: float
    latencies: dict[str, list[float]]
    """milliseconds by kind of request, of those answered within the interval"""
    plays: int
    """all that were played to their end, also before and after the interval"""
    repeated: int
    """requests that were answered `retryable` and sent again"""


class Stopwatch:
    """Keeps what is answered while it runs."""

    def __init__(self) -> None:
        self.latencies: dict[str, list[float]] = {}
        self.repeated = 0
        self._running_since: float | None = None

    def start(self) -> None:
        self._running_since = time.perf_counter()

    def stop(self) -> float:
        """The length of the interval, in seconds."""
        assert self._running_since is not None
        seconds = time.perf_counter() - self._running_since
        self._running_since = None
        return seconds

    def answered(self, kind: str, asked_at: float) -> None:
        if self._running_since is not None:
            self.latencies.setdefault(kind, []).append((time.perf_counter() - asked_at) * 1000)


Play = Callable[[str, Stopwatch], Awaitable[None]]


async def serve(plays: dict[str, Play]) -> None:
    """Plays the rounds that arrive on stdin until it is closed."""
    print(READY, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = Round.model_validate_json(line)
        played = await _play(asked, plays[asked.play])
        print(played.model_dump_json(), flush=True)


async def _play(asked: Round, play: Play) -> Played:
    stopwatch = Stopwatch()
    over = False
    plays = 0

    async def caller(number: int) -> None:
        nonlocal plays
        turn = 0
        while not over:
            await play(f"{asked.name}-{number}-{turn}", stopwatch)
            turn += 1
        plays += turn

    async with asyncio.TaskGroup() as callers:
        for number in range(asked.callers):
            callers.create_task(caller(number))
        await asyncio.sleep(RAMP)
        stopwatch.start()
        print(MEASURING, flush=True)
        await asyncio.sleep(asked.seconds)
        seconds = stopwatch.stop()
        print(MEASURED, flush=True)
        # Every caller ends what it has begun, so that whole teams can be counted.
        over = True
    return Played(seconds=seconds, latencies=stopwatch.latencies, plays=plays, repeated=stopwatch.repeated)
