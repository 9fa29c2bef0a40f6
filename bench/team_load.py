"""Throughput of teams of three, by concurrent callers and by one alone, until all their workflows have closed."""

import os

from temporalio.client import Client

from bench.driver import WARM_UP_TEAMS, Driver, Lives, RunningStack, until_workflow_closed
from bench.processes import OTHERS, Meter
from bench.report import table
from bench.rounds import percentile
from bench.team_plays import team_play
from workflows.client import data_converter_of

ALONE_TEAMS = 50
"""of a round of one caller"""


async def team_load(stack: RunningStack, teams: int, callers: int, rounds: int) -> list[Lives]:
    """One caller and many, in turns.

    Raises:
        BenchError: a workflow has not closed in time, or a team had no callback.
    """
    temporal = await Client.connect(stack.temporal_address, data_converter=data_converter_of(os.environ))
    meter = Meter(stack.pids())
    closed = until_workflow_closed(temporal)
    many, alone = Driver(meter, callers, closed), Driver(meter, 1, closed)
    measured: list[Lives] = []
    async with team_play(stack) as (play, check_callbacks):
        await many.measure("warm-up", play, min(WARM_UP_TEAMS, teams))
        for _ in range(rounds):
            measured.append(await alone.measure("one caller", play, min(ALONE_TEAMS, teams)))
            measured.append(await many.measure(f"{callers} callers", play, teams))
        check_callbacks()
    return measured


def teams_summary(measured: list[Lives]) -> str:
    names = list(dict.fromkeys(name for lives in measured for name in lives.cpu if name != OTHERS))
    rows = []
    for lives in measured:
        numbers = [lives.traded_rate, lives.rate, *(percentile(lives.lock_ms, percent) for percent in (50, 95, 99))]
        numbers += [lives.cpu_ms, *(lives.cpu[name] / lives.teams * 1000 for name in names)]
        rows.append([lives.side, str(lives.teams), *(f"{number:.1f}" for number in numbers)])
    head = ["", "teams", "traded/s", "closed/s", "lock ms: p50", "p95", "p99", "CPU ms/team", *names]
    return "\n".join([table(head, rows), ""])
