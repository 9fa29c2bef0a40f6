"""`groupbuy reconcile`: compares rows and workflows after a restore, and mends what differs."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import click
from temporalio.client import Client
from temporalio.service import RPCError

from cli.admin import open_database
from cli.comparison import Differences, compare
from db.core.connection import Database
from db.teams.wakeups import count_wakeups_until, leave_wakeups, leave_wakeups_everywhere
from embedded.addresses import running_stack
from embedded.errors import StackError
from workflows.client import connect
from workflows.starters import restart_refund

TAKEN_OVER_WITHIN, LOOK_EVERY = 300.0, 0.2
"""seconds"""
SHOWN = 20
"""of each kind"""
REASON = "groupbuy reconcile: the database has no rows of it"
OTHER_ROWS = "groupbuy reconcile: it sees something else than the rows, and begins with them"


async def run(database_url: str | None, data_dir: Path, beginning: int, *, mends: bool, database_restored: bool) -> int:
    """Prints what differs, and mends it where it is to; returns the exit code."""
    address = None
    if database_url is None:
        stack = running_stack(data_dir)
        if stack is None:
            raise StackError(f"no stack runs on {data_dir}: start it, or name a database (--database-url)")
        database_url, address = stack.database_url, stack.temporal_address
    client = await connect(address=address)
    async with open_database(database_url) as database:
        now = datetime.now(UTC)
        try:
            found = await compare(client, database, now, timedelta(seconds=beginning))
            show(found)
            if mends:
                await mend(client, database, found, now)
                if database_restored:
                    await take_over_restored_rows(database, now)
                await until_taken_over(database, now)
        except RPCError as error:
            raise StackError(f"Temporal does not serve: {error}") from None
    return 1 if found and not mends else 0


async def mend(client: Client, database: Database, found: Differences, now: datetime) -> None:
    """Ends the workflows without rows; those that are missing begin with the rows, and those that see something else read them.

    A refund's workflow has no step that reads the rows alone: one that sees something else is ended, and begins with them.
    """
    for workflow in found.without_rows:
        with suppress(RPCError):  # it has ended meanwhile
            await client.get_workflow_handle(workflow.id, run_id=workflow.run_id).terminate(reason=REASON)
    await leave_wakeups(database, [*found.teams_without_workflow, *found.teams], now)
    for workflow_id in found.refunds:
        with suppress(RPCError):
            await client.get_workflow_handle(workflow_id).terminate(reason=OTHER_ROWS)
    missing = [refund.refund for refund in found.refunds_without_workflow]
    for refund in [*missing, *(refund.start for refund in found.refunds.values())]:
        await restart_refund(client, refund)
    if found:
        click.echo("mended: workflows without rows are ended; the others start, or read their rows, one after the other")


async def take_over_restored_rows(database: Database, now: datetime) -> None:
    count = await leave_wakeups_everywhere(database, now)
    click.echo(f"{count} team(s) read their rows")


async def until_taken_over(database: Database, now: datetime) -> None:
    """Waits until the teams have read their rows: until then their workflows may refuse what the rows allow.

    Raises:
        StackError: they have not in time.
    """
    began = monotonic()
    while left := await count_wakeups_until(database, now):
        if monotonic() - began > TAKEN_OVER_WITHIN:
            raise StackError(f"{left} team(s) have not read their rows yet: does a worker run? The same command waits again")
        await asyncio.sleep(LOOK_EVERY)


def show(found: Differences) -> None:
    _show("workflow(s) without rows", [workflow.id for workflow in found.without_rows])
    _show("live team(s) without a workflow", found.teams_without_workflow)
    refunds = [f"{refund.refund.source} {refund.refund.out_trade_no}" for refund in found.refunds_without_workflow]
    _show("unfinished refund(s) without a workflow", refunds)
    _show("team(s) whose workflow sees something else", [f"{team}: {what}" for team, what in found.teams.items()])
    _show("refund(s) whose workflow sees something else", [refund.what for refund in found.refunds.values()])


def _show(what: str, items: list[str]) -> None:
    click.echo(f"{len(items)} {what}")
    for item in items[:SHOWN]:
        click.echo(f"  {item}")
    if len(items) > SHOWN:
        click.echo(f"  and {len(items) - SHOWN} more")
