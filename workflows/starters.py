"""How every workflow is started: its id, queue and reuse policy, in one place.

A start names one workflow at a time for its subject. Where it may run again, the rows say what is left to do, not Temporal.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any, TypedDict

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError, RPCStatusCode

from domain.ids import (
    audience_workflow_id,
    export_workflow_id,
    order_id,
    payment_workflow_id,
    redelivery_workflow_id,
    refund_workflow_id,
    shutdown_workflow_id,
    team_workflow_id,
)
from domain.lifecycle import TeamStatus
from domain.messages.audiences import AudienceImportInput
from domain.messages.callbacks import MassRedeliver, Redeliver, Sample, SampleReply
from domain.messages.campaigns import ShutdownInput
from domain.messages.exports import ExportInput
from domain.messages.payments import PaymentInput
from domain.messages.refunds import RefundInput
from domain.messages.teams import RowsChanged, TeamFacts
from domain.schemas.exports import Export
from domain.schemas.redeliveries import Redelivery
from workflows.audience_import import AudienceImportWorkflow
from workflows.campaign_shutdown import CampaignShutdownWorkflow
from workflows.ends import how_ended
from workflows.export import ExportWorkflow
from workflows.markdown import SUMMARY_PART, quote
from workflows.probe import ANSWER, ProbeWorkflow
from workflows.redelivery import RESEND, MassRedeliveryWorkflow, RedeliveryWorkflow, SampleWorkflow
from workflows.refund.workflow import RefundWorkflow
from workflows.search_attributes import CAMPAIGN_ID, MALL, TEAM_STATUS
from workflows.task_queues import CALLBACKS_QUEUE, MASS_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE
from workflows.team.state import TeamInput
from workflows.team.workflow import ROWS_CHANGED, TeamWorkflow

START_WITHIN = timedelta(seconds=5)


class StartOptions(TypedDict):
    id: str
    task_queue: str
    id_conflict_policy: WorkflowIDConflictPolicy
    id_reuse_policy: WorkflowIDReusePolicy
    static_summary: str
    priority: Priority


class TeamStartOptions(StartOptions):
    search_attributes: TypedSearchAttributes


def _options(workflow_id: str, task_queue: str, summary: str, mall: str | None = None) -> StartOptions:
    """`mall`: where many wait in the queue, each mall has its turn."""
    return StartOptions(
        id=workflow_id,
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=summary,
        priority=Priority(fairness_key=mall),
    )


def _team_options(team: TeamFacts, status: TeamStatus, task_queue: str) -> TeamStartOptions:
    goods, mall = quote(team.goods_name, SUMMARY_PART), quote(team.source)
    summary = f"Team of {team.target_count} for {goods}, campaign {team.campaign_id}, mall {mall}"
    attributes = [
        SearchAttributePair(MALL, team.source),
        SearchAttributePair(CAMPAIGN_ID, str(team.campaign_id)),
        SearchAttributePair(TEAM_STATUS, status),
    ]
    return TeamStartOptions(
        **_options(team_workflow_id(team.team_id), task_queue, summary),
        search_attributes=TypedSearchAttributes(attributes),
    )


def team_opening(
    team: TeamFacts, *, local_activities: bool, task_queue: str = TRADE_QUEUE, task_timeout: timedelta | None = None
) -> WithStartWorkflowOperation[TeamWorkflow, str]:
    """The start of a team's workflow that comes with its opener's lock."""
    options = _team_options(team, TeamStatus.FORMING, task_queue)
    # A team that never had a seat ended as failed: its opener may try again. Any other end is for ever.
    options["id_reuse_policy"] = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
    start = TeamInput(**team.model_dump(), local_activities=local_activities)
    return WithStartWorkflowOperation(TeamWorkflow.run, start, **options, task_timeout=task_timeout)


def team_start(team: TeamFacts, status: TeamStatus, *, local_activities: bool) -> WithStartWorkflowOperation[TeamWorkflow, str]:
    """The start of the workflow of a team that has a row, where it does not run; it begins by reading the rows."""
    start = TeamInput(**team.model_dump(), local_activities=local_activities, has_row=True)
    return WithStartWorkflowOperation(TeamWorkflow.run, start, **_team_options(team, status, TRADE_QUEUE))


async def wake_team(
    client: Client,
    team: TeamFacts,
    status: TeamStatus,
    changed: RowsChanged,
    *,
    local_activities: bool,
    within: timedelta | None = None,
    task_queue: str = TRADE_QUEUE,
) -> None:
    """Tells the workflow of a team that has a row to read the rows; it is started where it does not run."""
    await client.start_workflow(
        TeamWorkflow.run,
        TeamInput(**team.model_dump(), local_activities=local_activities, has_row=True),
        **_team_options(team, status, task_queue),
        start_signal=ROWS_CHANGED,
        start_signal_args=[changed],
        rpc_timeout=within,
    )


def refund_start(refund: RefundInput) -> WithStartWorkflowOperation[RefundWorkflow, str]:
    """The start of a refund's workflow, which comes with a request or an operator's act."""
    return WithStartWorkflowOperation(RefundWorkflow.run, refund, **refund_options(refund))


async def probe(client: Client, name: str, within: timedelta) -> None:
    """Asks a worker of the teams, through Temporal, for an answer.

    Raises:
        RPCError, WorkflowUpdateRPCTimeoutOrCancelledError: none came in time.
    """
    options = _options(f"probe-{name}", TRADE_QUEUE, "Asks whether Temporal and the workers of the teams answer")
    start = WithStartWorkflowOperation(ProbeWorkflow.run, **options, task_timeout=within)
    try:
        await client.execute_update_with_start_workflow(ANSWER, start_workflow_operation=start, rpc_timeout=within)
    except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError):
        with suppress(Exception):  # asyncio logs a failure of the start that is never retrieved
            await start.workflow_handle()
        raise


def refund_options(refund: RefundInput, task_queue: str = REFUNDS_QUEUE) -> StartOptions:
    """The start options of a refund's workflow: one for each attempt. MASS_QUEUE is for those that nobody has asked for."""
    attempt = refund.attempt or 1
    workflow_id = refund_workflow_id(order_id(refund.source, refund.out_trade_no), attempt)
    number, mall = quote(refund.out_trade_no), quote(refund.source)
    return _options(workflow_id, task_queue, f"Refund {attempt} of order {number}, mall {mall}", refund.source)


def payment_options(payment: PaymentInput) -> StartOptions:
    """The start options of a payment's workflow: one for each order."""
    workflow_id = payment_workflow_id(order_id(payment.source, payment.out_trade_no))
    number, mall = quote(payment.out_trade_no), quote(payment.source)
    return _options(workflow_id, REFUNDS_QUEUE, f"Payment of order {number}, mall {mall}", payment.source)


async def start_refund(client: Client, refund: RefundInput, task_queue: str = REFUNDS_QUEUE) -> None:
    """Starts a refund without waiting for its first step, unless it runs already: on either queue."""
    await client.start_workflow(RefundWorkflow.run, refund, **refund_options(refund, task_queue))


async def restart_refund(client: Client, refund: RefundInput) -> str | None:
    """Starts a refund unless it runs; returns how its latest run had ended, empty if there was none, None if it runs."""
    end = await how_ended(client, refund_options(refund)["id"])
    if end is not None:
        await start_refund(client, refund, MASS_QUEUE)
    return end


async def signal_refund(
    client: Client, refund: RefundInput, signal: str, payload: dict[str, Any], task_queue: str = REFUNDS_QUEUE
) -> None:
    """Signals a refund's workflow, which is started again where it has ended."""
    await client.start_workflow(
        RefundWorkflow.run, refund, start_signal=signal, start_signal_args=[payload], **refund_options(refund, task_queue)
    )


async def close_team(client: Client, team_id: str, *, operator: str, reason: str) -> bool:
    """Signals `close` to a team's workflow; returns whether there is one."""
    try:
        await client.get_workflow_handle(team_workflow_id(team_id)).signal("close", {"operator": operator, "reason": reason})
    except RPCError as exc:
        if exc.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def start_audience_import(client: Client, audience_id: str, import_id: int) -> None:
    """Lets an audience's rule import its members, and those that were replaced be deleted."""
    options = _options(
        audience_workflow_id(audience_id, import_id), MASS_QUEUE, f"Import {import_id} of audience {quote(audience_id)}"
    )
    await client.start_workflow(
        AudienceImportWorkflow.run,
        AudienceImportInput(audience_id=audience_id, import_id=import_id),
        **options,
        rpc_timeout=START_WITHIN,
    )


async def start_campaign_shutdown(client: Client, shutdown: ShutdownInput) -> None:
    """Starts the shutdown of a campaign, unless it runs."""
    summary = f"Ends campaign {shutdown.campaign_id} with every forming team"
    await client.start_workflow(
        CampaignShutdownWorkflow.run,
        shutdown,
        **_options(shutdown_workflow_id(shutdown.campaign_id), MASS_QUEUE, summary),
        search_attributes=TypedSearchAttributes([SearchAttributePair(CAMPAIGN_ID, str(shutdown.campaign_id))]),
    )


async def start_redelivery(client: Client, workflow_id: str, event_ids: list[str], *, operator: str) -> None:
    """Lets these events be delivered again; where that runs already, its wait for a later attempt ends."""
    summary = f"Delivers {len(event_ids)} event(s) again, for {quote(operator, SUMMARY_PART)}"
    await client.start_workflow(
        RedeliveryWorkflow.run,
        Redeliver(event_ids=event_ids),
        **_options(workflow_id, CALLBACKS_QUEUE, summary),
        start_signal=RESEND,
        start_signal_args=[{"operator": operator[:128]}],
    )


async def start_mass_redelivery(client: Client, redelivery: Redelivery) -> None:
    """Lets the events of a range be delivered again, unless that runs."""
    mall, operator = quote(redelivery.source), quote(redelivery.requested_by, SUMMARY_PART)
    summary = f"Delivers {redelivery.count} event(s) of mall {mall} again, for {operator}"
    workflow_id = redelivery_workflow_id(redelivery.source, redelivery.redelivery_id)
    await client.start_workflow(
        MassRedeliveryWorkflow.run,
        MassRedeliver(redelivery_id=redelivery.redelivery_id),
        **_options(workflow_id, CALLBACKS_QUEUE, summary),
        search_attributes=TypedSearchAttributes([SearchAttributePair(MALL, redelivery.source)]),
    )


async def start_export(client: Client, export: Export) -> None:
    """Starts the workflow that writes a file, unless it runs."""
    filters = ", ".join(export.filters) or "all"
    summary = f"Export of {export.kind} ({filters})"
    options = _options(export_workflow_id(export.export_id), MASS_QUEUE, summary)
    await client.start_workflow(ExportWorkflow.run, ExportInput(export_id=export.export_id), **options)


async def execute_sample(client: Client, sample: Sample) -> SampleReply:
    """Sends a sample, and waits for what the mall replies.

    Raises:
        WorkflowFailureError: it is not known whether it was sent.
    """
    summary = f"A sample of {sample.type} for mall {quote(sample.source)}"
    options = _options(f"callback-{sample.event_id}", CALLBACKS_QUEUE, summary)
    return await client.execute_workflow(SampleWorkflow.run, sample, **options)
