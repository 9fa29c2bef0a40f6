"""`python -m bench`: the command line."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import psutil

from bench import audiences, report
from bench.crowds import PARTS, checked, parse_numbers, parse_rushes
from bench.processes import BenchError, Child
from bench.suite import SUITE_PARTS, Plan, Suite, until_up
from db.core.migrate import upgrade
from embedded.errors import StackError
from embedded.plan import Options
from embedded.ports import HOST, free_port
from embedded.process import cancel_on_signal, echo_error, exit_process
from embedded.stack import Stack

ADMISSIONS = {
    "auto": {"GROUPBUY_ADMISSION": "auto"},
    "orchestrated": {"GROUPBUY_ADMISSION": "orchestrated"},
    "direct": {"GROUPBUY_ADMISSION": "auto", "GROUPBUY_ORCHESTRATED_AT_ONCE": "0"},
}
"""the settings of each stack of a part"""


@dataclass(frozen=True)
class Size:
    """How many processes a stack has."""

    workers: int
    apis: int

    def __str__(self) -> str:
        return f"{self.workers} worker process(es), {self.apis} API process(es)"


@dataclass(frozen=True)
class DriverCommand:
    """A module that drives a running stack."""

    module: str
    admissions: Sequence[str]
    """of the stacks that it usually gets"""
    options: Sequence[str]
    """of this command that it is given"""
    arguments: Sequence[str] = ()


DRIVERS = {
    "life": DriverCommand("bench.life", ("orchestrated", "direct"), ("teams", "callers", "rounds"), ("--floor",)),
    "peer": DriverCommand("bench.peer", ("orchestrated", "direct"), ("teams", "callers", "rounds")),
    "open": DriverCommand("bench.open_teams", ("orchestrated",), ("steps",)),
    "storm": DriverCommand("bench.mass", ("auto",), ("lapses",), ("--members=0", "--campaigns=", "--deadlines=")),
    "big": DriverCommand("bench.big", ("auto",), ("scale",)),
}
CROWD = DriverCommand(
    "bench.crowds",
    ("auto", "orchestrated"),
    ("teams", "callers", "rounds", "buyers", "rushes", "rates", "seconds", "arrivals", "outage_seconds"),
)

TUNED = ("GROUPBUY_ORCHESTRATED_", "GROUPBUY_WAKEUPS_")
"""settings that a stack takes from the environment, and that its numbers depend on"""


@click.command(context_settings={"show_default": True})
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.5),
    default=10.0,
    help="measured in a round; quotes and market: half of it; --only load: of each rate",
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, help="of each side, in turns; --only outage: one")
@click.option("--callers", callback=parse_numbers, default="16,64", help="concurrent callers, one table for each number")
@click.option(
    "--only",
    type=click.Choice([*SUITE_PARTS, *DRIVERS, *PARTS, "audiences"]),
    help="this part alone; those of the second line and below are otherwise left out",
)
@click.option("--members", type=click.IntRange(min=1), default=audiences.MEMBERS, help="of the audience of --only audiences")
@click.option("--teams", type=click.IntRange(min=1), default=300, help="of a round; --only life, peer and teams")
@click.option(
    "--steps", callback=checked(parse_numbers), default="2000,5000,10000", help="open teams, measured at each; --only open"
)
@click.option("--lapses", callback=checked(parse_numbers), default="3000,10000", help="seats, one storm each; --only storm")
@click.option("--scale", type=click.FloatRange(min=0.0001), default=1.0, help="of ten million orders; --only big")
@click.option(
    "--admission",
    type=click.Choice([*ADMISSIONS, "both"]),
    default="both",
    help="of a part that has a stack of its own; both: the usual ones of this part, each on a stack of its own",
)
@click.option(
    "--buyers",
    callback=checked(parse_numbers),
    default="200,600,2000",
    help="at once, a rush for each number; --only campaign-rush",
)
@click.option(
    "--rushes", callback=checked(parse_rushes), default="600:150,2000:500", help="BUYERS:SEATS of each rush; --only team-rush"
)
@click.option(
    "--rates", callback=checked(parse_numbers), default="2,5,10,15,20", help="teams a second, one after the other; --only load"
)
@click.option("--arrivals", type=click.FloatRange(min=0.1), default=10.0, help="teams a second; --only outage")
@click.option(
    "--outage-seconds",
    type=click.FloatRange(min=1),
    default=60.0,
    help="that Temporal, and then the workers, are stopped; --only outage",
)
@click.option("--workers", type=click.IntRange(min=1), default=1, help="worker processes of a stack of its own")
@click.option(
    "--apis",
    type=click.IntRange(min=1),
    default=1,
    help="API processes of it, to which buyers connect in turn; --only teams, life, load, outage and the rushes",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(
    *,
    seconds: float,
    rounds: int,
    callers: list[int],
    only: str | None,
    members: int,
    json_file: Path | None,
    admission: str,
    workers: int,
    apis: int,
    **options: Any,  # noqa: ANN401
) -> None:
    """What the platform costs beside bare Temporal updates.

    Starts a stack of its own in a temporary directory and measures in turns: (a) the floor, a bare workflow with no-op
    updates called without HTTP and database; (b) ours, whole teams of three over HTTP (3 locks, 3 payments). Then quotes
    and the market beside a bare FastAPI route, refunds of every kind, and a team of a hundred that fails. Then callbacks over
    HTTP, and over RabbitMQ where one answers, beside a bare loop of the same clients; and the market again with a thousand
    campaigns and a hundred thousand teams. Prints numbers and asserts none of them; exits with 1 when a team is missing or an
    invariant is broken. --only quotes, refunds and callbacks measure these alone.

    What is measured only when it is asked for, in each admission (docs/crowds.md) on a stack of its own:

    \b
    --only life           teams of three, and seats that lapse, until their
                          workflows have closed, beside the same shapes on
                          the engine alone
    --only peer           the same trade on DBOS, and without any durability
    --only open           locks beside more and more open teams
    --only storm          buyers elsewhere while thousands of seats lapse
    --only big            everything with ten million orders
    --only audiences      membership in an audience of ten million
    --only campaign-rush  buyers who all open a team at once, until the
                          workflows of all teams have taken over
    --only team-rush      buyers at once for the seats of one team, then the
                          payments of all its members at once
    --only load           teams that arrive at one rate after the other
    --only outage         teams that arrive at a rate while Temporal, and then
                          the workers, are stopped, until all is caught up
    --only teams          whole lives of teams with many callers and with one
    """
    options |= {"seconds": seconds, "rounds": rounds, "callers": callers[0]}

    async def run(directory: Path, cleanup: AsyncExitStack) -> int:
        if only == "audiences":
            return await _audiences(directory, members)
        if only is None or only in SUITE_PARTS:
            plan = Plan(seconds=seconds, rounds=rounds, callers=callers, only=only, json_file=json_file)
            return await Suite(plan, cleanup).run(directory)
        driver = DRIVERS.get(only) or CROWD
        arguments = [only] if driver is CROWD else []
        arguments += [*driver.arguments, *(f"--{name.replace('_', '-')}={options[name]}" for name in driver.options)]
        usual = [*ADMISSIONS] if only == "teams" else driver.admissions
        chosen = usual if admission == "both" else [admission]
        size = Size(workers, apis)
        return await _each_admission(directory, chosen, size, driver.module, arguments, json_file)

    async def until_signal() -> int:
        code = 130

        async def measure() -> None:
            nonlocal code
            async with AsyncExitStack() as cleanup:
                directory = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="groupbuy-bench-"))
                code = await run(Path(directory), cleanup)

        if await cancel_on_signal(measure()):
            echo_error("stopped")
        return code

    try:
        exit_process(asyncio.run(until_signal()))
    except (BenchError, StackError, OSError) as error:
        exit_process(f"bench: {error}")


async def _audiences(directory: Path, members: int) -> int:
    async with Stack(Options(data_dir=directory / "stack", services_only=True), echo_error) as stack:
        url = stack.addresses.database_url
        await asyncio.to_thread(upgrade, url)
        print(report.machine(), flush=True)
        print()
        echo_error(f"inserting {members:,} members, which takes a while")
        print(audiences.summary(members, await audiences.measure(url, members)), flush=True)
    return 0


async def _each_admission(
    directory: Path, admissions: Sequence[str], size: Size, module: str, arguments: list[str], json_file: Path | None
) -> int:
    """Runs a driver on a stack for each admission; returns the worst exit code."""
    codes, numbers = [], []
    for name in admissions:
        settings = ADMISSIONS[name]
        chosen = {key: value for key, value in os.environ.items() if key.startswith(TUNED)} | settings
        conditions = f"{name} ({', '.join(f'{key}={value}' for key, value in chosen.items())}); {size}"
        own_file = directory / f"{name}.json"
        options = [f"--admission={conditions}", f"--json={own_file}"]
        codes.append(await _drive(directory / name, settings, size, module, *arguments, *options))
        if await asyncio.to_thread(own_file.exists):
            numbers.append(json.loads(await asyncio.to_thread(own_file.read_text)))
    if json_file:
        await asyncio.to_thread(json_file.write_text, json.dumps(numbers, indent=1))
    return max(codes)


async def _drive(data_dir: Path, settings: dict[str, str], size: Size, module: str, *arguments: str) -> int:
    """Runs this driver beside a stack of its own, as a process, where a faster event loop plays than the supervisor can use."""
    async with (
        Stack(Options(data_dir=data_dir, settings=settings, workers=size.workers), echo_error) as stack,
        AsyncExitStack() as more,
    ):
        api_urls = [await more.enter_async_context(_another_api(stack)) for _ in range(size.apis - 1)]
        stack_file = data_dir.with_suffix(".stack.json")
        stack_file.write_text(json.dumps(asdict(stack.addresses) | {"more_api_urls": api_urls}))
        print(report.machine(), flush=True)
        print()
        command = [sys.executable, "-P", "-m", module, f"--stack={stack_file}", *arguments]
        process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


@asynccontextmanager
async def _another_api(stack: Stack) -> AsyncIterator[str]:
    """Yields the URL of one more API process, with the settings of the stack's."""
    port = free_port()
    environment = psutil.Process(stack.part("api").pid).environ()
    del environment["GROUPBUY_LEGACY_PORT"]
    api = await Child.start("another API", "api", environment=environment | {"GROUPBUY_API_PORT": str(port)})
    try:
        await until_up(api, url := f"http://{HOST}:{port}")
        yield url
    finally:
        await api.stop()


if __name__ == "__main__":
    main()
