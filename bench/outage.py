"""Trade while Temporal or its workers do not answer: teams arrive at a rate, each is opened, joined and paid."""

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import psutil

from bench.api_client import TEAM_SIZE, Json
from bench.arrivals import Answers, Arrivals, arrive
from bench.callback_receiver import listening
from bench.crowd import POLL_EVERY, Crowd, Ways, codes_cell
from bench.driver import RunningStack
from bench.processes import BenchError
from bench.report import table
from embedded.ports import HOST, free_port

Stopped = Literal["nothing", "Temporal", "the workers"]

TEAMS_AT_ONCE = 1000
CAUGHT_UP_WITHIN = 180.0
KINDS = ("open", "join", "pay")


@dataclass(frozen=True)
class Outage:
    stopped: Stopped
    per_second: float
    """teams that arrived"""
    arrivals: Arrivals
    answers: dict[str, Answers]
    """by kind of request"""
    played: int
    """teams whose every request was answered with what was asked for"""
    completed: int
    """teams, by the rows"""
    caught_up: float | None
    """seconds from the end of the outage until no wake-up was left and every completed team's callback had come"""
    undelivered: int
    ways: Ways

    @property
    def all_answers(self) -> Answers:
        codes: Counter[str] = sum((each.codes for each in self.answers.values()), Counter())
        return Answers([value for each in self.answers.values() for value in each.milliseconds], codes)

    def as_json(self) -> Json:
        return vars(self) | {
            "arrivals": vars(self.arrivals),
            "answers": {kind: answers.as_json() for kind, answers in self.answers.items()},
            "all": self.all_answers.as_json(),
            "ways": self.ways.as_json(),
        }


async def outage(crowd: Crowd, stack: RunningStack, stopped: Stopped, per_second: float, seconds: float) -> Outage:
    """Returns when everything is caught up, or was not after CAUGHT_UP_WITHIN."""
    offer = await crowd.offer(TEAM_SIZE)
    answers = {kind: Answers() for kind in KINDS}
    run, played = secrets.token_hex(4), 0
    called_back: set[str] = set()

    def on_callback(body: bytes) -> None:
        event: Json = json.loads(body)
        if event["type"] == "team.completed":
            called_back.add(event["data"]["team_id"])

    async def team(number: int, due: float) -> None:
        """Gives up at the first refusal: how many there are is the measure, not how often a buyer would repeat."""
        nonlocal played
        name = f"outage-{run}-{number}"
        orders: list[Json] = []
        for seat in range(TEAM_SIZE):
            team_id, due_at = (orders[0]["team_id"], None) if seat else (None, due)
            order = await crowd.lock(f"{name}-{seat}", offer, answers["join" if seat else "open"], team_id, due_at)
            if order is None:
                return
            orders.append(order)
        for order in orders:
            if await crowd.pay(order, answers["pay"]) is None:
                return
        played += 1

    port = free_port()
    offer["callback"] = {"kind": "http", "url": f"http://{HOST}:{port}/"}
    ways = await crowd.ways()
    async with listening(port, on_callback):
        with _stopped(_pids(stack, stopped)):
            times = [number / per_second for number in range(round(per_second * seconds))]
            arrivals = await arrive(times, TEAMS_AT_ONCE, team)
        back_at = time.perf_counter()
        caught_up = None
        while caught_up is None and time.perf_counter() - back_at < CAUGHT_UP_WITHIN:
            completed = await crowd.completed(offer)
            if not await crowd.wakeups() and completed <= called_back:
                caught_up = time.perf_counter() - back_at
            else:
                await asyncio.sleep(POLL_EVERY)
    return Outage(
        stopped=stopped,
        per_second=per_second,
        arrivals=arrivals,
        answers=answers,
        played=played,
        completed=len(completed),
        caught_up=caught_up,
        undelivered=len(completed - called_back),
        ways=(await crowd.ways()).since(ways),
    )


def _pids(stack: RunningStack, stopped: Stopped) -> list[int]:
    match stopped:
        case "nothing":
            return []
        case "the workers":
            return stack.worker_pids
        case "Temporal":
            pids = [pid for name, pid in stack.pids().items() if name.startswith("temporal")]
            if not pids:
                raise BenchError("this stack has no Temporal of its own")
            return pids


@contextmanager
def _stopped(pids: list[int]) -> Iterator[None]:
    """Inside, these processes and their descendants are there and do nothing."""
    processes = [each for pid in pids for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def summary(outages: list[Outage], *, by_rate: bool = False) -> str:
    """A line for each; `by_rate`: they differ by the rate of arrivals."""
    rows, latencies, notes = [], [], []
    for each in outages:
        name = f"{each.per_second:g} a second" if by_rate else each.stopped
        caught_up = "not in time" if each.caught_up is None else f"{each.caught_up:.1f}"
        teams = [str(each.arrivals.expected), each.arrivals.cell, str(each.played), str(each.completed)]
        rows.append([name, *teams, caught_up, str(each.undelivered)])
        for kind, answers in {**each.answers, "all": each.all_answers}.items():
            if not answers.milliseconds:
                continue  # the first requests of all teams were refused
            numbers = [f"{answers.within(percent):.0f}" for percent in (50, 99, 100)]
            latencies.append([f"{name}: {kind}", str(len(answers.milliseconds)), *numbers, codes_cell(answers.failed)])
        notes.append(f"{name}: {codes_cell(each.all_answers.codes)}\n  {each.ways}")
    first = "arrivals" if by_rate else "stopped"
    head = [
        first,
        "teams arrived",
        "late / dropped",
        "played",
        "completed",
        "caught up after, s",
        "without callback",
    ]
    head_latencies = ["latency, ms", "requests", "p50", "p99", "most", "5xx"]
    return "\n".join([table(head, rows), "", table(head_latencies, latencies), "", *notes, ""])
