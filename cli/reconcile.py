"""`groupbuy reconcile`: compares rows and workflows after a restore, and mends what differs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import click
from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError

from cli.admin import AUTHOR, open_database
from db.core.connection import Database
from db.reconciliation.comparison import (
    SLICE,
    UnfinishedRefund,
    known_orders,
    known_refunds,
    live_teams,
    skip_sequences,
    team_statuses,
    unfinished_refunds,
)
from db.teams.wakeups import count_wakeups_until, leave_wakeups, leave_wakeups_everywhere
from domain.ids import order_of_payment, refund_of, refund_workflow_id, team_of, team_workflow_id
from embedded.addresses import running_stack
from embedded.errors import StackError
from workflows.client import connect
from workflows.ends import how_ended
from workflows.search_attributes import TEAM_STATUS
from workflows.starters import restart_refund

RUNNING = "ExecutionStatus = 'Running' AND WorkflowType IN ('TeamWorkflow', 'RefundWorkflow', 'PaymentWorkflow')"
TAKEN_OVER_WITHIN, LOOK_EVERY = 300.0, 0.2
"""seconds"""
SHOWN = 20
"""of each kind"""
SKIPPED = 1_000_000
"""sequences, more than a mall may have received since the backup"""
REASON = "groupbuy reconcile: the database has no rows of it"


@dataclass
class Differences:
    without_rows: list[WorkflowExecution] = field(default_factory=list)
    teams_without_workflow: list[str] = field(default_factory=list)
    refunds_without_workflow: list[UnfinishedRefund] = field(default_factory=list)
    other_status: dict[str, str] = field(default_factory=dict)
    """by team: what its workflow sees, and what the row says"""

    def __len__(self) -> int:
        missing = len(self.teams_without_workflow) + len(self.refunds_without_workflow)
        return len(self.without_rows) + missing + len(self.other_status)


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


async def compare(client: Client, database: Database, now: datetime, beginning: timedelta) -> Differences:
    """Returns what differs between the rows and the workflows that run.

    Args:
        client: Temporal.
        database: the database.
        now: when.
        beginning: how old a workflow is whose first row should have been written.
    """
    found, running = Differences(), set[str]()
    async for slice_ in _slices(client):
        running |= {workflow.id for workflow in slice_}
        statuses = await _look_up_rows(database, slice_)
        for workflow in slice_:
            row, seen = statuses[workflow.id], workflow.typed_search_attributes.get(TEAM_STATUS)
            if row is None and workflow.start_time <= now - beginning:
                found.without_rows.append(workflow)
            elif row and seen and row != seen and (team := team_of(workflow.id)):
                found.other_status[team] = f"its workflow sees {seen}, the row is {row}"
    # What the list did not have is asked for by itself: visibility follows a moment later.
    async for teams in live_teams(database, now):
        found.teams_without_workflow += [
            team
            for team in teams
            if team_workflow_id(team) not in running and await how_ended(client, team_workflow_id(team)) is not None
        ]
    async for refunds in unfinished_refunds(database):
        for refund in refunds:
            workflow_id = refund_workflow_id(refund.order_id, refund.refund.attempt or 1)
            if workflow_id not in running and await how_ended(client, workflow_id) is not None:
                found.refunds_without_workflow.append(refund)
    return found


async def _slices(client: Client) -> AsyncIterator[list[WorkflowExecution]]:
    slice_: list[WorkflowExecution] = []
    async for workflow in client.list_workflows(RUNNING, page_size=SLICE):
        slice_.append(workflow)
        if len(slice_) == SLICE:
            yield slice_
            slice_ = []
    if slice_:
        yield slice_


async def _look_up_rows(database: Database, workflows: list[WorkflowExecution]) -> dict[str, str | None]:
    """Returns for each workflow what its row says: a team's status, an empty text of others; None where there is no row."""
    teams = {workflow.id: team for workflow in workflows if (team := team_of(workflow.id))}
    refunds = {workflow.id: refund for workflow in workflows if (refund := refund_of(workflow.id))}
    payments = {workflow.id: order for workflow in workflows if (order := order_of_payment(workflow.id))}
    statuses = await team_statuses(database, teams.values())
    known = await known_refunds(database, refunds.values())
    orders = await known_orders(database, payments.values())
    # An id of another form was given by hand: it is not judged.
    rows: dict[str, str | None] = {workflow.id: "" for workflow in workflows}
    rows |= {workflow_id: statuses.get(team) for workflow_id, team in teams.items()}
    rows |= {workflow_id: None for workflow_id, refund in refunds.items() if refund not in known}
    rows |= {workflow_id: None for workflow_id, order in payments.items() if order not in orders}
    return rows


async def mend(client: Client, database: Database, found: Differences, now: datetime) -> None:
    """Ends the workflows without rows, and has those that are missing or see something else start with the rows."""
    for workflow in found.without_rows:
        with suppress(RPCError):  # it has ended meanwhile
            await client.get_workflow_handle(workflow.id, run_id=workflow.run_id).terminate(reason=REASON)
    await leave_wakeups(database, [*found.teams_without_workflow, *found.other_status], now)
    for refund in found.refunds_without_workflow:
        await restart_refund(client, refund.refund)
    if found:
        click.echo("mended: workflows without rows are ended; the others start, or read their rows, one after the other")


async def take_over_restored_rows(database: Database, now: datetime) -> None:
    count = await leave_wakeups_everywhere(database, now)
    malls = await skip_sequences(database, SKIPPED, by=AUTHOR, now=now)
    click.echo(f"{count} team(s) read their rows; the feeds go on after these sequences, which malls should be told of:")
    for source, sequence in sorted(malls.items()):
        click.echo(f"  {source:<20} {sequence}")


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
    _show("team(s) of another status", [f"{team}: {what}" for team, what in found.other_status.items()])


def _show(what: str, items: list[str]) -> None:
    click.echo(f"{len(items)} {what}")
    for item in items[:SHOWN]:
        click.echo(f"  {item}")
    if len(items) > SHOWN:
        click.echo(f"  and {len(items) - SHOWN} more")
