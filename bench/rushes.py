"""Rushes: many buyers press one button at once, on a campaign (each opens a team) or on one team."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.api_client import Json
from bench.arrivals import Answers, Arrivals, arrive
from bench.crowd import Crowd, Ways, codes_cell, cpu_cells
from bench.processes import BenchError
from bench.report import table

TARGET_COUNT = 3
"""of the teams that are opened in a rush on a campaign"""
ELSEWHERE, ELSEWHERE_EVERY = 20, 0.05
"""buyers who, meanwhile, join a team each that nobody else wants, and the seconds between two of them"""
CALM, CALM_CALLERS = 5.0, 16
"""seconds before a rush on a campaign, and callers, in which it is measured how many teams can be opened"""
MOST_CONNECTIONS = 2000
"""of an API process by default: where the buyers of a rush take them all, nobody comes elsewhere"""


@dataclass(frozen=True)
class Burst:
    """Requests that were all due at the same moment."""

    answers: Answers
    arrivals: Arrivals
    seconds: float
    """until all were answered"""

    @property
    def cells(self) -> list[str]:
        latencies = [f"{self.answers.within(percent):.0f}" for percent in (50, 99)]
        return [f"{self.seconds:.2f}", *latencies, self.arrivals.cell]

    def as_json(self) -> Json:
        return {"seconds": self.seconds, **self.answers.as_json(), **vars(self.arrivals)}


@dataclass(frozen=True)
class CampaignRush:
    buyers: int
    calm_per_second: float
    """teams that a few callers open in a second, one after the other, before the rush"""
    locks: Burst
    teams: int
    """by the rows"""
    taken_over: float | None
    """seconds from the first lock until no wake-up was left"""
    ways: Ways
    cpu: dict[str, float]
    """CPU seconds by process, until all were answered"""

    @property
    def per_second(self) -> float:
        return self.locks.answers.codes["201"] / self.locks.seconds

    def as_json(self) -> Json:
        return vars(self) | {"per_second": self.per_second, "locks": self.locks.as_json(), "ways": self.ways.as_json()}


@dataclass(frozen=True)
class TeamRush:
    buyers: int
    seats: int
    locks: Burst
    taken: int
    """seats, by the rows, without the opener's"""
    sold_within: float
    """seconds until the last buyer who has a seat was told so"""
    payments: Burst
    completed: bool
    taken_over: float | None
    """seconds from the first payment until no wake-up was left"""
    elsewhere: list[Answers]
    """of those who meanwhile joined, and paid in, teams of their own"""
    ways: Ways
    cpu: dict[str, float]

    @property
    def seats_per_second(self) -> float:
        return self.locks.answers.codes["201"] / self.sold_within if self.sold_within else 0.0

    @property
    def is_exact(self) -> bool:
        """Every free seat was taken, each by a buyer who was told so."""
        return self.taken == min(self.seats, self.buyers) == self.locks.answers.codes["201"]

    def as_json(self) -> Json:
        return vars(self) | {
            "locks": self.locks.as_json(),
            "payments": self.payments.as_json(),
            "elsewhere": [answers.as_json() for answers in self.elsewhere],
            "seats_per_second": self.seats_per_second,
            "exact": self.is_exact,
            "ways": self.ways.as_json(),
        }


async def campaign_rush(crowd: Crowd, buyers: int) -> CampaignRush:
    """Buyers who open a team each, all at the same moment."""
    calm = await _opened_in_calm(crowd)
    offer = await crowd.offer(TARGET_COUNT)
    await crowd.open_connections(buyers)
    answers, run = Answers(), secrets.token_hex(4)
    ways, cpu, began = await crowd.ways(), crowd.meter(), time.perf_counter()

    async def opens(number: int, due: float) -> None:
        await crowd.lock(f"rush-{run}-{number}", offer, answers, due=due)

    arrivals = await arrive([0.0] * buyers, buyers, opens)
    locks = Burst(answers, arrivals, time.perf_counter() - began)
    used = crowd.meter().since(cpu)
    taken_over = await crowd.until_taken_over(began)
    teams, _ = await crowd.count(offer)
    return CampaignRush(buyers, calm, locks, teams, taken_over, (await crowd.ways()).since(ways), used)


async def _opened_in_calm(crowd: Crowd) -> float:
    """Returns how many teams a few callers open in a second, each one after the other; nothing is left of it then."""
    offer, run, answers = await crowd.offer(TARGET_COUNT), secrets.token_hex(4), Answers()
    began = time.perf_counter()

    async def call(caller: int) -> None:
        number = 0
        while time.perf_counter() < began + CALM:
            await crowd.lock(f"calm-{run}-{caller}-{number}", offer, answers)
            number += 1

    await asyncio.gather(*map(call, range(CALM_CALLERS)))
    opened = answers.codes["201"] / (time.perf_counter() - began)
    await crowd.until_taken_over(time.perf_counter())
    return opened


async def team_rush(crowd: Crowd, buyers: int, seats: int) -> TeamRush:
    """Buyers for the free seats of one team, all at the same moment; then the payments of all its members at once.

    Others, one after the other, join and pay in teams elsewhere meanwhile.
    """
    elsewhere = await _opened_elsewhere(crowd) if buyers + ELSEWHERE < MOST_CONNECTIONS else []
    offer = await crowd.offer(seats + 1)
    answers, paid, run = Answers(), Answers(), secrets.token_hex(4)
    other_answers, other_paid = Answers(), Answers()
    opener = await crowd.lock(f"rush-{run}-opener", offer, Answers())
    if opener is None:
        raise BenchError("the team of the rush was not opened")
    orders = [opener]
    await crowd.open_connections(buyers)
    ways, cpu, began = await crowd.ways(), crowd.meter(), time.perf_counter()
    sold_at = began

    async def joins(number: int, due: float) -> None:
        nonlocal sold_at
        order = await crowd.lock(f"rush-{run}-{number}", offer, answers, opener["team_id"], due)
        if order is not None:
            sold_at = time.perf_counter()
            orders.append(order)

    async def joins_elsewhere(opened: Json) -> None:
        number, terms = f"{opened['out_trade_no']}-2", {name: opened[name] for name in ("campaign_id", "goods_id", "channel")}
        await crowd.lock(number, terms, other_answers, opened["team_id"])

    arrivals, seconds = await _beside(
        arrive([0.0] * buyers, buyers, joins), [partial(joins_elsewhere, each) for each in elsewhere]
    )
    locks = Burst(answers, arrivals, seconds)
    sold_within = sold_at - began
    _, taken = await crowd.count(offer)

    async def pays(number: int, due: float) -> None:
        await crowd.pay(orders[number], paid, due)

    began = time.perf_counter()
    payers = [partial(crowd.pay, each, other_paid) for each in elsewhere]
    payments = Burst(paid, *await _beside(arrive([0.0] * len(orders), len(orders), pays), payers))
    used = crowd.meter().since(cpu)
    taken_over = await crowd.until_taken_over(began)
    return TeamRush(
        buyers=buyers,
        seats=seats,
        locks=locks,
        taken=taken - 1,
        sold_within=sold_within,
        payments=payments,
        completed=len(await crowd.completed(offer)) == 1,
        taken_over=taken_over,
        elsewhere=[other_answers, other_paid],
        ways=(await crowd.ways()).since(ways),
        cpu=used,
    )


async def _opened_elsewhere(crowd: Crowd) -> list[Json]:
    """Opens teams, of a campaign of their own, in which nobody else wants a seat."""
    offer, run = await crowd.offer(TARGET_COUNT), secrets.token_hex(4)
    opened = [await crowd.lock(f"elsewhere-{run}-{number}", offer, Answers()) for number in range(ELSEWHERE)]
    return [order for order in opened if order is not None]


async def _beside(
    burst: Coroutine[Any, Any, Arrivals], acts: Sequence[Callable[[], Awaitable[object]]]
) -> tuple[Arrivals, float]:
    """Runs a burst, and the acts of others at a rate, until it is over; returns it with the seconds that it took."""
    began = time.perf_counter()
    running = asyncio.create_task(burst)
    ended = began

    def note_end(_: object) -> None:
        nonlocal ended
        ended = time.perf_counter()

    running.add_done_callback(note_end)
    async with asyncio.TaskGroup() as others:
        for act in acts:
            await asyncio.wait({running}, timeout=ELSEWHERE_EVERY)
            if running.done():
                break
            others.create_task(_run(act))
        arrivals = await running
    return arrivals, ended - began


async def _run(act: Callable[[], Awaitable[object]]) -> None:
    await act()


def campaign_summary(rushes: list[CampaignRush]) -> str:
    rows = [
        [
            str(rush.buyers),
            *rush.locks.cells,
            str(rush.teams),
            f"{rush.per_second:.0f}, {rush.calm_per_second:.0f}",
            _seconds(rush.taken_over),
        ]
        for rush in rushes
    ]
    head = ["buyers", "all answered, s", "ms: p50", "p99", "late / dropped", "teams in the rows"]
    head += ["opened a second: rush, calm", "all taken over, s"]
    notes = [
        f"{rush.buyers} buyers: {codes_cell(rush.locks.answers.codes)}\n  {rush.ways}\n  CPU s: {cpu_cells(rush.cpu)}"
        for rush in rushes
    ]
    return "\n".join([table(head, rows), "", *notes, ""])


def team_summary(rushes: list[TeamRush]) -> str:
    rows = [
        [
            f"{rush.buyers} for {rush.seats}",
            *rush.locks.cells,
            f"{rush.taken}{' exact' if rush.is_exact else '  <-- not exact'}",
            f"{rush.seats_per_second:.0f}",
        ]
        for rush in rushes
    ]
    head = ["buyers for seats", "all answered, s", "ms: p50", "p99", "late / dropped", "seats taken", "per second"]
    paid = [
        [
            f"{rush.payments.arrivals.expected} at once",
            *rush.payments.cells,
            "completed" if rush.completed else "not completed",
            _seconds(rush.taken_over),
        ]
        for rush in rushes
    ]
    head_paid = ["payments", "all answered, s", "ms: p50", "p99", "late / dropped", "the team", "taken over, s"]
    notes = [
        f"{rush.buyers} for {rush.seats}: locks {codes_cell(rush.locks.answers.codes)}\n"
        f"  payments {codes_cell(rush.payments.answers.codes)}\n"
        f"  {_elsewhere_cell(rush)}\n  {rush.ways}\n  CPU s: {cpu_cells(rush.cpu)}"
        for rush in rushes
    ]
    return "\n".join([table(head, rows), "", table(head_paid, paid), "", *notes, ""])


def _seconds(value: float | None) -> str:
    return "not in time" if value is None else f"{value:.1f}"


def _elsewhere_cell(rush: TeamRush) -> str:
    """How long others waited, who joined and paid in other teams."""
    cells = [
        f"{name} {codes_cell(answers.codes)} (ms: p50 {answers.within(50):.0f}, most {answers.within(100):.0f})"
        for name, answers in zip(("locks", "payments"), rush.elsewhere, strict=True)
        if answers.milliseconds
    ]
    return f"elsewhere: {'; '.join(cells) or 'nobody came'}"
