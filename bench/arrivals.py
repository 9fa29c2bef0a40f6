"""Open-loop load: buyers arrive at their times, whether or not earlier ones have been answered."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bench.api_client import Json
from bench.http_client import HttpClient
from bench.rounds import percentile

ANSWERED_WITHIN = 30.0
"""seconds, after which a buyer gives up"""
LATE = 0.1
"""seconds after its time, from which an arrival counts as late: the load generator was busy"""


@dataclass
class Answers:
    """What one kind of request was answered."""

    milliseconds: list[float] = field(default_factory=list)
    """of every request, refused ones included; of an arrival's first one, from the moment at which it was due"""
    codes: Counter[str] = field(default_factory=Counter)
    """by status and, of a refusal, its code"""

    def add(self, code: str, milliseconds: float) -> None:
        self.codes[code] += 1
        self.milliseconds.append(milliseconds)

    def within(self, percent: float) -> float:
        return percentile(sorted(self.milliseconds), percent)

    @property
    def failed(self) -> Counter[str]:
        """5xx by code, and what was not answered at all."""
        return Counter({code: count for code, count in self.codes.items() if not code.startswith(("2", "4"))})

    def as_json(self) -> Json:
        percents = {"p50": 50, "p95": 95, "p99": 99, "max": 100} if self.milliseconds else {}
        return {"answers": dict(self.codes), "ms": {name: self.within(percent) for name, percent in percents.items()}}


@dataclass
class Arrivals:
    expected: int = 0
    late: int = 0
    most_late: float = 0.0
    """seconds"""
    dropped: int = 0
    """arrivals that were left out, because too many were under way"""

    @property
    def cell(self) -> str:
        return f"{self.late} (by {self.most_late * 1000:.0f} ms) / {self.dropped}"


async def arrive(times: Sequence[float], at_once: int, play: Callable[[int, float], Awaitable[object]]) -> Arrivals:
    """Plays each arrival at its time, in seconds from the beginning; returns when the last one has been answered.

    `play` gets the number of the arrival and the moment at which it was due. Those beyond `at_once` under way are dropped.
    """
    arrivals = Arrivals(expected=len(times))
    began = time.perf_counter()
    under_way = 0

    async def one(number: int, due: float) -> None:
        nonlocal under_way
        lateness = time.perf_counter() - due
        arrivals.most_late = max(arrivals.most_late, lateness)
        arrivals.late += lateness > LATE
        try:
            await play(number, due)
        finally:
            under_way -= 1

    async with asyncio.TaskGroup() as group:
        for number, at in enumerate(times):
            due = began + at
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if under_way == at_once:
                arrivals.dropped += 1
                continue
            under_way += 1
            group.create_task(one(number, due))
    return arrivals


async def post(http: HttpClient, path: str, body: Json, answers: Answers, due: float | None = None) -> Json | None:
    """Records status, code and latency; returns the answer, None of a refusal."""
    due = due or time.perf_counter()
    answer: Json = {}
    try:
        async with asyncio.timeout(ANSWERED_WITHIN):
            status, answer = await http.send("POST", path, body)
        code = f"{status} {answer['code']}" if status >= 400 else f"{status}"
    except TimeoutError:
        code = f"none within {ANSWERED_WITHIN:g} s"
    except OSError as error:
        code = type(error).__name__
    answers.add(code, (time.perf_counter() - due) * 1000)
    return answer if code.startswith("2") else None
