"""How what is no workflow reaches one: refunds and audiences are started, teams told of callbacks that malls did not take."""

from datetime import timedelta
from typing import Any, TypedDict

from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from domain.ids import audience_workflow_id, order_id, refund_workflow_id, team_workflow_id
from domain.lifecycle import TeamStatus
from domain.messages.audiences import AudienceImportInput
from domain.messages.callbacks import Resend, Sample, SampleReply
from domain.messages.refunds import RefundInput
from domain.messages.teams import TeamInput, Undelivered
from workflows.audience_import import AudienceImportWorkflow
from workflows.redelivery import RESEND, RedeliveryWorkflow, SampleWorkflow
from workflows.refund import RefundWorkflow
from workflows.search_attributes import CAMPAIGN_ID, MALL, TEAM_STATUS
from workflows.task_queues import CALLBACKS_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE
from workflows.team.workflow import TeamWorkflow

SUMMARY_BYTES = 200
UNDELIVERED = "undelivered"
START_WITHIN = timedelta(seconds=5)


def team_start(team: TeamInput) -> WithStartWorkflowOperation[TeamWorkflow, str]:
    """Starts a team's workflow with the update that locks its first seat, or finds the one that runs."""
    summary = f"Team of {team.target_count} for {team.goods_name}, campaign {team.campaign_id}, mall {team.source}"
    return WithStartWorkflowOperation(
        TeamWorkflow.run,
        team,
        id=team_workflow_id(team.team_id),
        task_queue=TRADE_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        # The workflow of a team that never had a seat fails, and its opener may try again. Any other end is final.
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(MALL, team.source),
                SearchAttributePair(CAMPAIGN_ID, str(team.campaign_id)),
                SearchAttributePair(TEAM_STATUS, TeamStatus.FORMING),
            ]
        ),
        static_summary=fit_summary(summary),
    )


class RefundStart(TypedDict):
    id: str
    task_queue: str
    id_conflict_policy: WorkflowIDConflictPolicy
    id_reuse_policy: WorkflowIDReusePolicy
    static_summary: str


def refund_start(refund: RefundInput) -> RefundStart:
    """One workflow at a time for one attempt. A second run of an ended one finds its end in the rows, and ends."""
    attempt = refund.attempt or 1
    return RefundStart(
        id=refund_workflow_id(order_id(refund.source, refund.out_trade_no), attempt),
        task_queue=REFUNDS_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=fit_summary(f"Refund {attempt} of order {refund.out_trade_no}, mall {refund.source}"),
    )


def fit_summary(text: str) -> str:
    """Cut to the bytes that Temporal takes; a Chinese character has three."""
    return text.encode()[:SUMMARY_BYTES].decode(errors="ignore")


async def hand_over(client: Client, team_id: str, event_ids: list[str]) -> None:
    """Gives events that a mall did not take to its team's workflow, which goes on with them for days."""
    await client.get_workflow_handle(team_workflow_id(team_id)).signal(UNDELIVERED, Undelivered(event_ids=event_ids))


class TeamCloser:
    """The operators' word that ends a team."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, team_id: str, *, operator: str, reason: str) -> bool:
        """Returns whether the team has a workflow that heard it."""
        try:
            handle = self._client.get_workflow_handle(team_workflow_id(team_id))
            await handle.signal("close", {"operator": operator, "reason": reason})
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True


class RefundStarter:
    """Starts refunds that nobody waits for."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, refund: RefundInput) -> None:
        await self._client.start_workflow(RefundWorkflow.run, refund, **refund_start(refund))

    async def signal(self, refund: RefundInput, signal: str, payload: dict[str, Any]) -> None:
        """An operator's word for a refund's workflow, which is started again where it is gone."""
        await self._client.start_workflow(
            RefundWorkflow.run, refund, start_signal=signal, start_signal_args=[payload], **refund_start(refund)
        )


async def start_audience_import(client: Client, audience_id: str, filling: int) -> None:
    """Lets an audience be filled by its rule, and what was replaced be deleted."""
    await client.start_workflow(
        AudienceImportWorkflow.run,
        AudienceImportInput(audience_id=audience_id, filling=filling),
        id=audience_workflow_id(audience_id, filling),
        task_queue=REFUNDS_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=fit_summary(f"Filling {filling} of audience {audience_id}"),
        rpc_timeout=START_WITHIN,
    )


async def start_redelivery(client: Client, workflow_id: str, event_ids: list[str], *, operator: str) -> None:
    """Starts the redelivery of events that are due; one that runs already ends its wait for a later try."""
    await client.start_workflow(
        RedeliveryWorkflow.run,
        Resend(event_ids=event_ids),
        id=workflow_id,
        task_queue=CALLBACKS_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal=RESEND,
        start_signal_args=[{"operator": operator[:128]}],
        static_summary=fit_summary(f"Sends {len(event_ids)} event(s) again, for {operator}"),
    )


async def execute_sample(client: Client, sample: Sample) -> SampleReply:
    """Sends a sample event, and waits for the mall's reply.

    Raises:
        WorkflowFailureError: the attempt could not be made.
    """
    return await client.execute_workflow(
        SampleWorkflow.run,
        sample,
        id=f"callback-{sample.event_id}",
        task_queue=CALLBACKS_QUEUE,
        static_summary=fit_summary(f"A sample of {sample.type} for mall {sample.source}"),
    )
