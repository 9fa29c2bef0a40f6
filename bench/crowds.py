"""A market day on a running stack: rushes, outages and many teams. `python -m bench.crowds --stack STACK.json PART`.

STACK.json holds the line that `groupbuy up --json` prints. `python -m bench --only PART` starts a stack for each admission.
"""

import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

import click
import uvloop

from bench import outage, report, rushes
from bench.api_client import Json
from bench.crowd import Crowd, crowd
from bench.driver import RunningStack, failures_explained
from bench.team_load import team_load, teams_summary
from embedded.process import cancel_on_signal, echo_error, exit_process

PARTS = ("campaign-rush", "team-rush", "load", "outage", "teams")
STOPPED: tuple[outage.Stopped, ...] = ("nothing", "Temporal", "the workers")
CALM_SECONDS = 10.0
"""of the round of an outage in which nothing is stopped, at most"""

TITLES = {
    "campaign-rush": "all buyers at once, each on an open connection opens a team",
    "team-rush": "all buyers at once, each on an open connection joins one team; then all members pay at once",
    "load": "open-loop: teams of three are opened, joined and paid, at one rate after the other",
    "outage": "open-loop: teams of three are opened, joined and paid; SIGSTOP, then SIGCONT",
    "teams": "closed-loop: teams of three until their workflows have closed",
}


class Result(Protocol):
    def as_json(self) -> Json: ...


Measured = tuple[str, Sequence[Result]]
"""the summary, and the numbers"""


def parse_numbers(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    try:
        numbers = [int(each) for each in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise click.BadParameter("numbers, for example 16,64")
    return numbers


def parse_rushes(_: click.Context, __: click.Parameter, text: str) -> list[tuple[int, int]]:
    try:
        pairs = [(int(buyers), int(seats)) for buyers, seats in (each.split(":") for each in text.split(","))]
    except ValueError:
        pairs = [(0, 0)]
    if any(buyers < 1 or not 1 <= seats <= 999 for buyers, seats in pairs):
        raise click.BadParameter("buyers and up to 999 seats, for example 600:150,2000:500")
    return pairs


def checked(parse: Callable[[click.Context, click.Parameter, str], object]) -> Callable[..., str]:
    """Returns a callback that keeps the text, for another command line, once it can be parsed."""

    def check(context: click.Context, parameter: click.Parameter, text: str) -> str:
        parse(context, parameter, text)
        return text

    return check


@click.command(context_settings={"show_default": True})
@click.argument("part", type=click.Choice(PARTS))
@click.option("--stack", "stack_file", type=click.File(), required=True, help="the line of `groupbuy up --json`; - for stdin")
@click.option("--admission", default="as the stack has it", help="how the stack admits, for the titles and the JSON")
@click.option("--buyers", callback=parse_numbers, default="200,600,2000", help="at once, one campaign-rush for each number")
@click.option("--rushes", "pairs", callback=parse_rushes, default="600:150,2000:500", help="BUYERS:SEATS of each team-rush")
@click.option("--rates", callback=parse_numbers, default="2,5,10,15,20", help="teams a second, of load, one after the other")
@click.option("--seconds", type=click.FloatRange(min=1), default=20.0, help="of each rate of load")
@click.option("--arrivals", type=click.FloatRange(min=0.1), default=10.0, help="teams a second, of outage")
@click.option(
    "--outage-seconds", type=click.FloatRange(min=1), default=60.0, help="that Temporal, and then the workers, are stopped"
)
@click.option("--teams", type=click.IntRange(min=1), default=300, help="of a round of teams")
@click.option("--callers", type=click.IntRange(min=1), default=16, help="of teams, concurrently")
@click.option("--rounds", type=click.IntRange(min=1), default=1, help="of each rush, and of teams")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(
    *,
    part: str,
    stack_file: Any,  # noqa: ANN401
    admission: str,
    buyers: list[int],
    pairs: list[tuple[int, int]],
    rates: list[int],
    seconds: float,
    arrivals: float,
    outage_seconds: float,
    teams: int,
    callers: int,
    rounds: int,
    json_file: Path | None,
) -> None:
    """What buyers and workflows do when many come at once, and when Temporal does not answer.

    Prints numbers and asserts none of them; exits with 1 when an invariant is broken.
    """

    async def campaign_rushes(crowd: Crowd) -> Measured:
        measured = []
        for count in [count for count in buyers for _ in range(rounds)]:
            echo_error(f"{count} buyers at once")
            measured.append(await rushes.campaign_rush(crowd, count))
        return rushes.campaign_summary(measured), measured

    async def team_rushes(crowd: Crowd) -> Measured:
        measured = []
        for count, seats in [pair for pair in pairs for _ in range(rounds)]:
            echo_error(f"{count} buyers at once for {seats} seats")
            measured.append(await rushes.team_rush(crowd, count, seats))
        return rushes.team_summary(measured), measured

    async def load(crowd: Crowd) -> Measured:
        measured = []
        for rate in rates:
            echo_error(f"{rate} teams a second")
            measured.append(await outage.outage(crowd, stack, "nothing", rate, seconds))
        return outage.summary(measured, by_rate=True), measured

    async def outages(crowd: Crowd) -> Measured:
        measured = []
        for stopped in STOPPED:
            seconds = min(outage_seconds, CALM_SECONDS) if stopped == "nothing" else outage_seconds
            echo_error(f"{stopped} stopped for {seconds:g} s")
            measured.append(await outage.outage(crowd, stack, stopped, arrivals, seconds))
        return outage.summary(measured), measured

    async def many_teams(crowd: Crowd) -> Measured:
        before = await crowd.ways()
        measured = await team_load(stack, teams, callers, rounds)
        return f"{teams_summary(measured)}\n{(await crowd.ways()).since(before)}\n", measured

    parts = {
        "campaign-rush": campaign_rushes,
        "team-rush": team_rushes,
        "load": load,
        "outage": outages,
        "teams": many_teams,
    }
    with failures_explained():
        stack = RunningStack.model_validate_json(stack_file.read())
        numbers = uvloop.run(_until_signal(_measure(stack, part, parts[part], admission)))
    if numbers is None:
        exit_process(130)
    if json_file:
        json_file.write_text(json.dumps(numbers, indent=1))
    exit_process(1 if numbers["violations"] else 0)


async def _until_signal(measuring: Coroutine[None, None, Json]) -> Json | None:
    """Returns None after a signal, when what an outage had stopped has been continued."""
    numbers: Json | None = None

    async def measure() -> None:
        nonlocal numbers
        numbers = await measuring

    await cancel_on_signal(measure())
    return numbers


async def _measure(stack: RunningStack, part: str, measure: Callable[[Crowd], Awaitable[Measured]], admission: str) -> Json:
    """Prints the summary; returns the numbers."""
    async with crowd(stack) as there:
        summary, measured = await measure(there)
        violations = await there.violations()
    lines = [f"  {each['invariant']}: {each['subject']}: {each['detail']}" for each in violations[:20]]
    print(f"=== {part}: {TITLES[part]} ===\nadmission: {admission}\n\n{summary}")
    print("\n".join([f"invariants: {len(violations)} violations", *lines, ""]), flush=True)
    conditions = {"part": part, "admission": admission, "machine": report.machine()}
    return {**conditions, "measured": [each.as_json() for each in measured], "violations": violations}


if __name__ == "__main__":
    main()
