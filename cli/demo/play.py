"""`groupbuy demo`: a team from the first seat to the mall's callback, then every kind of refund, against a running stack."""

import asyncio
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import click

from cli.demo.client import REQUEST_TIMEOUT, Client, JourneyError
from embedded.data_dir import DEFAULT_DATA_DIR
from embedded.errors import StackError
from embedded.ports import HOST
from embedded.process import cancel_on_signal, echo_error, exit_process

if TYPE_CHECKING:
    from embedded.addresses import Addresses
    from embedded.plan import Options


@click.command(short_help="Play a team from a quote to the callback, and every kind of refund.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="the stack's data directory, as in `groupbuy up`",
)
def demo(data_dir: Path) -> None:
    """Play a whole team, from a quote to the mall's callback, and then every kind of refund.

    It plays against the stack that runs on the data directory. If none runs, it starts one there and stops it at the end.
    """
    try:
        from embedded.addresses import running_stack
        from embedded.plan import Options
    except ModuleNotFoundError as missing:
        raise JourneyError(f"{missing.name} is missing: make setup (or pip install 'groupbuy[embedded]') brings it") from None
    if addresses := running_stack(data_dir):
        asyncio.run(_play(addresses))
        return
    try:
        exit_process(asyncio.run(_play_on_own_stack(Options.from_environment(data_dir))))
    except StackError as error:
        exit_process(f"Error: {error}")
    except JourneyError as error:
        exit_process(f"Error: {error.message}")


async def _play(addresses: "Addresses") -> None:
    from cli.demo.demo_mall import DemoMall
    from cli.demo.narrator import Narrator
    from cli.demo.receiving_mall import Listener, ReceivingMall, listening
    from cli.demo.refund_journey import RefundJourney
    from cli.demo.session import Session, Shop
    from cli.demo.team_journey import TeamJourney

    click.echo(f"groupbuy demo: a team from the first seat to the callback, then every kind of refund, at {addresses.api_url}")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)) as http:
        shop = Shop(
            name="demo",
            api_url=addresses.api_url,
            source="s01",
            mall_key=addresses.mall_key,
            ops_key=addresses.ops_key,
        )
        session = Session(shop, DemoMall(Client(addresses.mall_url, http)), http, Narrator(), goods_id="9890001")

        @asynccontextmanager
        async def vetoing_mall() -> AsyncIterator[ReceivingMall]:
            mall = ReceivingMall(addresses.webhook_secret, vetoes=True)
            async with listening(Listener(HOST, HOST), mall):
                yield mall

        team_id = await TeamJourney(session).play()
        await RefundJourney(session, vetoing_mall).play()
        await session.narrator.show_links(
            {
                "the mall's page of the first team": f"{addresses.mall_url}/?team_id={team_id}",
                "the mall's page of every team": addresses.mall_url,
                "the console's page of the first team": f"{addresses.console_url}teams/{team_id}",
                "the console's page of all refunds (sign in with the operations key)": f"{addresses.console_url}refunds",
                "the API": f"{addresses.api_url}/docs",
            }
        )


async def _play_on_own_stack(options: "Options") -> int:
    """Starts a stack, plays, and stops it, also on a signal; returns the exit code."""
    from embedded.stack import Stack

    async def play() -> None:
        echo_error(f"no stack runs on {options.data_dir}: starting one for the demo")
        async with Stack(options, lambda line: echo_error(f"  {line}")) as stack:
            await _play(stack.addresses)
            await _until_enter()

    try:
        signum = await cancel_on_signal(play())
    finally:
        echo_error("the demo's stack is stopped")
    return 128 + signum if signum else 0


async def _until_enter() -> None:
    """Keeps the stack running for somebody at a terminal, until Enter or Ctrl-C."""
    if not sys.stdin.isatty():
        click.echo("\nThe demo's own stack stops now, and its links with it: `groupbuy up` keeps one running.")
        return
    click.echo("\nThe links work as long as the demo's own stack runs. Enter or Ctrl-C stops it.")
    termios.tcflush(sys.stdin, termios.TCIFLUSH)  # an Enter that was typed during the demo must not end it
    entered = asyncio.Event()
    # Not a thread that reads: Ctrl-C could not interrupt it.
    asyncio.get_running_loop().add_reader(sys.stdin, entered.set)
    try:
        await entered.wait()
        sys.stdin.readline()
    except asyncio.CancelledError:
        click.echo()  # Ctrl-C is one of the two ways to end the demo, which is complete: exit code 0
    finally:
        asyncio.get_running_loop().remove_reader(sys.stdin)
