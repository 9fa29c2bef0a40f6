"""What differs between the rows and the workflows that run."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio.client import Client, WorkflowExecution, WorkflowQueryFailedError
from temporalio.service import RPCError

from db.core.connection import Database
from db.reconciliation.comparison import (
    SLICE,
    TeamRow,
    UnfinishedRefund,
    known_orders,
    live_teams,
    refund_statuses,
    team_rows,
    unfinished_refunds,
)
from domain.ids import order_of_payment, refund_of, refund_workflow_id, team_of, team_workflow_id
from domain.lifecycle import OrderStatus
from domain.messages.refunds import RefundInput
from embedded.errors import StackError
from workflows.ends import how_ended
from workflows.search_attributes import MALL, OUT_TRADE_NO, REFUND_STATUS
from workflows.team.state import TeamState
from workflows.team.workflow import TeamWorkflow

RUNNING = "ExecutionStatus = 'Running' AND WorkflowType IN ('TeamWorkflow', 'RefundWorkflow', 'PaymentWorkflow')"
SETTLED_WITHIN = 2.0
"""seconds in which a step that is under way, and the list of workflows, have caught up with the rows"""
ASKED_AT_ONCE, ANSWERED_WITHIN = 20, timedelta(seconds=10)


@dataclass(frozen=True)
class OtherRefund:
    """A refund whose workflow shows something else than its row."""

    what: str
    start: RefundInput


@dataclass
class Differences:
    without_rows: list[WorkflowExecution] = field(default_factory=list)
    teams_without_workflow: list[str] = field(default_factory=list)
    refunds_without_workflow: list[UnfinishedRefund] = field(default_factory=list)
    teams: dict[str, str] = field(default_factory=dict)
    """by team: what its workflow sees, and what the rows say"""
    refunds: dict[str, OtherRefund] = field(default_factory=dict)
    """by workflow"""

    def __len__(self) -> int:
        missing = len(self.teams_without_workflow) + len(self.refunds_without_workflow)
        return len(self.without_rows) + missing + len(self.teams) + len(self.refunds)


async def compare(client: Client, database: Database, now: datetime, beginning: timedelta) -> Differences:
    """Returns what differs, also after a moment: a step that is under way is no difference.

    Args:
        client: Temporal.
        database: the database.
        now: when.
        beginning: how old a workflow is whose first row should have been written.

    Raises:
        StackError: no worker answers what the teams' workflows see.
    """
    found = await _look(client, database, now, beginning)
    if found.teams or found.refunds:
        before = found
        await asyncio.sleep(SETTLED_WITHIN)
        found = await _look(client, database, now, beginning)
        found.teams = {team: what for team, what in found.teams.items() if team in before.teams}
        found.refunds = {refund: what for refund, what in found.refunds.items() if refund in before.refunds}
    return found


async def _look(client: Client, database: Database, now: datetime, beginning: timedelta) -> Differences:
    found, running = Differences(), set[str]()
    async for slice_ in _slices(client):
        running |= {workflow.id for workflow in slice_}
        teams = await team_rows(database, [team for workflow in slice_ if (team := team_of(workflow.id))])
        refunds = await refund_statuses(database, [refund for workflow in slice_ if (refund := refund_of(workflow.id))])
        orders = await known_orders(database, [order for workflow in slice_ if (order := order_of_payment(workflow.id))])
        for workflow in slice_:
            # An id of another form was given by hand: it is not judged.
            team, refund, order = team_of(workflow.id), refund_of(workflow.id), order_of_payment(workflow.id)
            is_known = (team is None or team in teams) and (refund is None or refund in refunds)
            if not (is_known and (order is None or order in orders)) and workflow.start_time <= now - beginning:
                found.without_rows.append(workflow)
            if refund in refunds and (other := _other_refund(workflow, refund[1], refunds[refund])):
                found.refunds[workflow.id] = other
        found.teams |= await _other_teams(client, teams)
    # What the list did not have is asked for by itself: visibility follows a moment later.
    async for live in live_teams(database, now):
        found.teams_without_workflow += [
            team
            for team in live
            if team_workflow_id(team) not in running and await how_ended(client, team_workflow_id(team)) is not None
        ]
    async for unfinished in unfinished_refunds(database):
        for each in unfinished:
            workflow_id = refund_workflow_id(each.order_id, each.refund.attempt or 1)
            if workflow_id not in running and await how_ended(client, workflow_id) is not None:
                found.refunds_without_workflow.append(each)
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


def _other_refund(workflow: WorkflowExecution, attempt: int, row: str) -> OtherRefund | None:
    shown = workflow.typed_search_attributes
    seen, source, number = shown.get(REFUND_STATUS), shown.get(MALL), shown.get(OUT_TRADE_NO)
    if seen is None or source is None or number is None or seen == row:
        return None
    start = RefundInput(source=source, out_trade_no=number, attempt=attempt)
    return OtherRefund(f"{source} {number}: its workflow sees {seen}, the row is {row}", start)


async def _other_teams(client: Client, rows: Mapping[str, TeamRow]) -> dict[str, str]:
    """Asks the workflow of each team what it sees.

    Raises:
        StackError: none has answered.
    """
    turns, answered = asyncio.Semaphore(ASKED_AT_ONCE), 0

    async def look(team: str) -> str:
        nonlocal answered
        handle = client.get_workflow_handle(team_workflow_id(team))
        async with turns:
            try:
                seen = await handle.query(TeamWorkflow.view, rpc_timeout=ANSWERED_WITHIN)
            except (RPCError, WorkflowQueryFailedError) as exc:
                return f"its workflow does not say what it sees: {exc}"
        answered += 1
        return difference(seen, rows[team])

    teams = [team for team, row in rows.items() if not row.is_woken]
    found = dict(zip(teams, await asyncio.gather(*map(look, teams)), strict=True))
    if teams and not answered:
        raise StackError(f"no workflow says what it sees: does a worker run? team-{teams[0]}: {found[teams[0]]}")
    return {team: what for team, what in found.items() if what}


def difference(seen: TeamState, row: TeamRow) -> str:
    """Returns what a team's workflow sees and its rows do not say; empty: they agree."""
    if seen.status != row.status:
        return f"its workflow sees {seen.status}, the row is {row.status}"
    if seen.is_forming and seen.deadline != row.deadline:
        return f"its workflow sees the deadline {seen.deadline}, the row has {row.deadline}"
    unpaid = {number for number, seat in seen.live_seats.items() if seat.status is OrderStatus.LOCKED}
    paid = seen.live_seats.keys() - unpaid
    others = (unpaid ^ row.unpaid) | (paid ^ row.paid)
    if not others:
        return ""
    return (
        f"its workflow sees {len(paid)} paid and {len(unpaid)} unpaid seats, the rows have {len(row.paid)} and"
        f" {len(row.unpaid)}: {', '.join(sorted(others))}"
    )
