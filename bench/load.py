"""A load process: callers in a closed loop, in rounds that the bench requests on its stdin.

It measures its own latencies and reports when a measured interval begins and ends, so that CPU is read at the same moments.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

RAMP = 1.0
"""seconds until callers that began together have drifted apart, before anything counts"""

READY, MEASURING, MEASURED = "ready", "measuring", "measured"


class RoundRequest(BaseModel):
    name: str
    """prefix of every id that the callers make up"""
    play: str
    """name of what the callers do"""
    callers: int
    seconds: float


class RoundResult(BaseModel):
    seconds: float
    latencies: dict[str, list[float]]
    """milliseconds by kind of request, of those answered within the interval"""
    plays: int
    """all that were finished, also before and after the interval"""
    repeated: int
    """requests that were answered `retryable` and sent again"""


class Stopwatch:
    """Records the latency of every request that is answered while it runs."""

    def __init__(self) -> None:
        self.latencies: dict[str, list[float]] = {}
        self.repeated = 0
        self._running_since: float | None = None

    def start(self) -> None:
        self._running_since = time.perf_counter()

    def stop(self) -> float:
        """Returns the length of the interval in seconds."""
        assert self._running_since is not None
        seconds = time.perf_counter() - self._running_since
        self._running_since = None
        return seconds

    def record(self, kind: str, sent_at: float) -> None:
        if self._running_since is not None:
            self.latencies.setdefault(kind, []).append((time.perf_counter() - sent_at) * 1000)


Play = Callable[[str, Stopwatch], Awaitable[None]]


async def serve(plays: dict[str, Play]) -> None:
    """Plays the rounds that arrive on stdin until it is closed."""
    print(READY, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = RoundRequest.model_validate_json(line)
        result = await _play_round(request, plays[request.play])
        print(result.model_dump_json(), flush=True)


async def _play_round(request: RoundRequest, play: Play) -> RoundResult:
    stopwatch = Stopwatch()
    is_over = False
    plays = 0

    async def caller(number: int) -> None:
        nonlocal plays
        played = 0
        while not is_over:
            await play(f"{request.name}-{number}-{played}", stopwatch)
            played += 1
        plays += played

    async with asyncio.TaskGroup() as callers:
        for number in range(request.callers):
            callers.create_task(caller(number))
        await asyncio.sleep(RAMP)
        stopwatch.start()
        print(MEASURING, flush=True)
        await asyncio.sleep(request.seconds)
        seconds = stopwatch.stop()
        print(MEASURED, flush=True)
        # Every caller finishes what it has begun, so that whole teams can be counted.
        is_over = True
    return RoundResult(seconds=seconds, latencies=stopwatch.latencies, plays=plays, repeated=stopwatch.repeated)
