"""What a whole life costs: teams of three, and seats that lapse, beside the same shapes on the engine alone.

`python -m bench.life --stack STACK.json` drives a running stack of any version through its public API, and learns from its
Temporal when each workflow has closed. STACK.json holds the line that `groupbuy up --json` prints.
"""

import json
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
import uvloop
from temporalio.client import Client

from bench import report
from bench.driver import WARM_UP_TEAMS, Driver, Lives, Play, RunningStack, failures_explained, until_workflow_closed
from bench.floor import LAPSE, TEAM, play_bare, play_shape
from bench.processes import OTHERS, Child, Meter, environment
from bench.rounds import percentile
from bench.team_plays import lapse_play, team_play
from embedded.process import exit_process
from workflows.client import data_converter_of

FLOOR, TEAM_SHAPE, TEAMS, LAPSE_SHAPE, LAPSES = "bare updates", "shape of a team", "teams", "shape of a lapse", "lapses"
SHAPES = {TEAMS: TEAM_SHAPE, LAPSES: LAPSE_SHAPE}
"""what each side is compared with"""


async def drive(
    stack: RunningStack, *, teams: int, callers: int, rounds: int, floor: bool, show: Callable[[Lives], None]
) -> list[Lives]:
    """Measures rounds of teams and of lapses; with `floor`, in turns with the engine alone: bare updates, and each shape."""
    temporal = await Client.connect(stack.temporal_address, data_converter=data_converter_of(os.environ))
    pids = stack.pids()
    measured: list[Lives] = []
    async with AsyncExitStack() as cleanup:
        play_team, check_teams = await cleanup.enter_async_context(team_play(stack))
        play_lapse, check_lapses = await cleanup.enter_async_context(lapse_play(stack))
        sides: dict[str, Play] = {TEAMS: play_team, LAPSES: play_lapse}
        if floor:
            variables = environment(TEMPORAL_ADDRESS=stack.temporal_address)
            worker = await Child.start("floor: worker", "bench.floor", "worker", environment=variables)
            cleanup.push_async_callback(worker.stop)
            await worker.ready()
            pids[worker.name] = worker.pid
            sides = {
                FLOOR: partial(play_bare, temporal),
                TEAM_SHAPE: partial(play_shape, temporal, TEAM),
                TEAMS: play_team,
                LAPSE_SHAPE: partial(play_shape, temporal, LAPSE),
                LAPSES: play_lapse,
            }
        driver = Driver(Meter(pids), callers, until_workflow_closed(temporal))
        for side, play in sides.items():
            await driver.measure(side, play, WARM_UP_TEAMS)
        for _ in range(rounds):
            for side, play in sides.items():
                measured.append(await driver.measure(side, play, teams))
                show(measured[-1])
        check_teams()
        check_lapses()
    return measured


def ratios(measured: list[Lives]) -> dict[str, float]:
    """CPU of each shape on the engine alone to that of the side that does something, the median of the rounds."""
    by_side = {side: [lives.cpu_ms for lives in measured if lives.side == side] for side in (*SHAPES, *SHAPES.values())}
    pairs = {side: list(zip(by_side[shape], by_side[side], strict=False)) for side, shape in SHAPES.items()}
    return {side: median(shape / ours for shape, ours in rounds) for side, rounds in pairs.items() if rounds}


def summary(measured: list[Lives], callers: int) -> str:
    """Medians of the rounds of each side."""
    names = list(dict.fromkeys(name for lives in measured for name in lives.cpu if name != OTHERS))
    rows = []
    for side in dict.fromkeys(lives.side for lives in measured):
        rounds = [lives for lives in measured if lives.side == side]
        numbers = [median(lives.rate for lives in rounds)]
        numbers += [median(percentile(lives.lock_ms, percent) for lives in rounds) for percent in (50, 99)]
        numbers += [median(lives.cpu_ms for lives in rounds)]
        numbers += [median(lives.cpu.get(name, 0) / lives.teams * 1000 for lives in rounds) for name in names]
        rows.append([side, *(f"{number:.1f}" for number in numbers)])
    teams = measured[0].teams
    title = f"=== whole lives: {teams} teams, {callers} callers, until every workflow has closed; medians of the rounds ==="
    head = ["", "teams/s", "lock ms: p50", "p99", "CPU ms/team", *names]
    compared = [f"{SHAPES[side]} / {side}: {ratio:.2f} of the CPU" for side, ratio in ratios(measured).items()]
    return "\n".join([title, "", report.table(head, rows), "", *compared, ""])


@click.command(context_settings={"show_default": True})
@click.option("--stack", "stack_file", type=click.File(), required=True, help="the line of `groupbuy up --json`; - for stdin")
@click.option("--teams", type=click.IntRange(min=1), default=300, help="of a round")
@click.option("--callers", type=click.IntRange(min=1), default=16, help="concurrent callers")
@click.option("--rounds", type=click.IntRange(min=1), default=1)
@click.option("--floor", is_flag=True, help="in turns with the engine alone, on the stack's Temporal")
@click.option("--admission", default="as the stack has it", help="how the stack admits, for the title and the JSON")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(
    *,
    stack_file: Any,  # noqa: ANN401
    teams: int,
    callers: int,
    rounds: int,
    floor: bool,
    admission: str,
    json_file: Path | None,
) -> None:
    """Whole lives on a running stack: teams/s, latency of locks, CPU of every process.

    A team of three counts when its workflow has closed: after its refund window of a second, and with its callback delivered.
    A lapse is a team whose only seat is not paid for within a second, which ends the team; called back as well.
    """

    def show(lives: Lives) -> None:
        click.echo(f"{lives.side}: {lives.rate:.1f} teams/s, {lives.cpu_ms:.0f} ms of CPU per team", err=True)

    with failures_explained():
        stack = RunningStack.model_validate_json(stack_file.read())
        measured = uvloop.run(drive(stack, teams=teams, callers=callers, rounds=rounds, floor=floor, show=show))
    click.echo(f"admission: {admission}\n\n{summary(measured, callers)}")
    if json_file:
        conditions = {"part": "life", "admission": admission, "machine": report.machine(), "callers": callers}
        numbers = {**conditions, "ratios": ratios(measured), "measured": [lives.as_json() for lives in measured]}
        json_file.write_text(json.dumps(numbers, indent=1))
    exit_process(0)


if __name__ == "__main__":
    main()
