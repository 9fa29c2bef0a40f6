"""`python -m bench`: the command line."""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import click

from bench import audiences, report
from bench.processes import BenchError
from bench.suite import Plan, Suite
from db.core.migrate import upgrade
from embedded.errors import StackError
from embedded.plan import Options
from embedded.process import cancel_on_signal, echo_error, exit_process
from embedded.stack import Stack


def parse_callers(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    try:
        callers = [int(each) for each in text.split(",")]
    except ValueError:
        callers = [0]
    if min(callers) < 1:
        raise click.BadParameter("numbers of callers, for example 16,64")
    return callers


@click.command(context_settings={"show_default": True})
@click.option(
    "--seconds", type=click.FloatRange(min=0.5), default=10.0, help="measured in a round; quotes and market: half of it"
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, help="of each side, in turns")
@click.option("--callers", callback=parse_callers, default="16,64", help="concurrent callers, one table for each number")
@click.option("--only", type=click.Choice(["audiences", "life"]), help="this part alone, which is otherwise left out")
@click.option("--members", type=click.IntRange(min=1), default=audiences.MEMBERS, help="of the audience of --only audiences")
@click.option("--teams", type=click.IntRange(min=1), default=300, help="of a round of --only life")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(
    *, seconds: float, rounds: int, callers: list[int], only: str | None, members: int, teams: int, json_file: Path | None
) -> None:
    """What the platform costs beside bare Temporal updates.

    Starts a stack of its own in a temporary directory and measures in turns: (a) the floor, a bare workflow with no-op
    updates called without HTTP and database; (b) ours, whole teams of three over HTTP (3 locks, 3 payments). Then quotes
    and the market beside a bare FastAPI route, refunds of every kind, and a team of a hundred that fails. Then callbacks over
    HTTP, and over RabbitMQ where one answers, beside a bare loop of the same clients; and the market again with a thousand
    campaigns and a hundred thousand teams. Prints numbers and asserts none of them; exits with 1 when a team is missing or an
    invariant is broken.

    --only life measures teams until their workflow has closed, refund window and callback included, beside the floor.
    --only audiences measures membership in an audience, which takes minutes.
    """

    async def run(directory: Path, cleanup: AsyncExitStack) -> int:
        match only:
            case "audiences":
                return await _audiences(directory, members)
            case "life":
                arguments = [f"--teams={teams}", f"--callers={callers[0]}", f"--rounds={rounds}"]
                return await _life(directory, arguments + ([f"--json={json_file}"] if json_file else []))
        plan = Plan(seconds=seconds, rounds=rounds, callers=callers, json_file=json_file)
        return await Suite(plan, cleanup).run(directory)

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


async def _life(directory: Path, arguments: list[str]) -> int:
    """Runs bench.life in a process of its own, where a faster event loop plays the callers than the supervisor can use."""
    stack_file = directory / "stack.json"
    async with Stack(Options(data_dir=directory / "stack"), echo_error) as stack:
        stack_file.write_text(stack.addresses.to_json())
        print(report.machine(), flush=True)
        print()
        command = [sys.executable, "-P", "-m", "bench.life", f"--stack={stack_file}", "--floor", *arguments]
        process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


if __name__ == "__main__":
    main()
