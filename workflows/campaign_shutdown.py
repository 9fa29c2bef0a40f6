"""Ends a campaign at once: closes every team that is still forming, and stays until all their money has gone back.

The teams' own workflows close them and start the refunds, each at its own pace, as when an operator closes one team.
This one counts by the rows what is done, and does itself what no team's workflow does any more.
"""

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import (
    RetryPolicy,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.callbacks.deliver import CallbackActivities
    from activities.campaigns import CampaignActivities
    from domain.ids import shutdown_workflow_id
    from domain.messages.callbacks import Deliver
    from domain.messages.campaigns import BeginShutdown, CloseTeams, ReadShutdown, ShutdownInput, ShutdownState
    from workflows.activity_calls import DELIVERY, execute_batched, execute_with_retries
    from workflows.details import ending_details
    from workflows.search_attributes import CAMPAIGN_ID
    from workflows.task_queues import CALLBACKS_QUEUE, REFUNDS_QUEUE

SOON, LATEST = timedelta(seconds=1), timedelta(minutes=5)


@workflow.defn
class CampaignShutdownWorkflow:
    @workflow.init
    def __init__(self, ending: ShutdownInput) -> None:
        self._ending = ending
        self._operator = ending.operator or "an operator"
        self._after = ending.after
        self._told = ending.told

    @workflow.run
    async def run(self, ending: ShutdownInput) -> str:
        campaign_id = ending.campaign_id
        begin = BeginShutdown(campaign_id=campaign_id, operator=self._operator, reason=ending.reason, now=workflow.now())
        await execute_with_retries(CampaignActivities.begin_ending, begin, summary="end the campaign", task_queue=REFUNDS_QUEUE)
        pause, before = SOON, None
        while not (state := await self._look()).finished:
            if state.teams_forming:
                await self._close_teams(state.teams_forming)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(ending.model_copy(update={"after": self._after, "told": self._told}))
            if state.teams_forming and self._after:
                continue
            pause = SOON if state != before else min(pause * 2, LATEST)
            before = state
            await workflow.sleep(pause, summary="teams close, and money goes back")
        return (
            f"{state.teams_done} team(s) decided, {state.teams_completed} of them completed; "
            f"{state.refunds_done} refund(s), {state.amount_returned} returned"
        )

    async def _look(self) -> ShutdownState:
        look = ReadShutdown(campaign_id=self._ending.campaign_id, now=workflow.now())
        state = await execute_with_retries(
            CampaignActivities.look_at_ending, look, summary="count what is done", task_queue=REFUNDS_QUEUE
        )
        workflow.set_current_details(ending_details(self._ending, state))
        return state

    async def _close_teams(self, forming: int) -> None:
        """Some hundreds at a time. The second time their rows are changed directly: their workflows did not do it."""
        close = CloseTeams(
            campaign_id=self._ending.campaign_id,
            operator=self._operator,
            reason=f"campaign {self._ending.campaign_id} ends: {self._ending.reason or 'no reason given'}"[:500],
            after=self._after,
            by_rows=self._told,
            now=workflow.now(),
        )
        summary = f"close {forming} team(s)"
        closed = await execute_batched(CampaignActivities.close_teams, close, summary=summary, task_queue=REFUNDS_QUEUE)
        self._after = closed.after
        self._told = self._told or not closed.after
        if closed.event_ids:
            # One try: what it leaves is the net's.
            with suppress(ActivityError):
                await workflow.execute_activity_method(
                    CallbackActivities.deliver,
                    Deliver(event_ids=closed.event_ids),
                    task_queue=CALLBACKS_QUEUE,
                    start_to_close_timeout=DELIVERY,
                    retry_policy=RetryPolicy(maximum_attempts=1),
                    summary=f"tell malls of {len(closed.event_ids)} event(s)",
                )


async def start_campaign_shutdown(client: Client, ending: ShutdownInput) -> None:
    """One workflow at a time for one campaign. A second run of an ended one finds its end in the rows, and ends."""
    await client.start_workflow(
        CampaignShutdownWorkflow.run,
        ending,
        id=shutdown_workflow_id(ending.campaign_id),
        task_queue=REFUNDS_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=f"Ends campaign {ending.campaign_id} with every forming team",
        search_attributes=TypedSearchAttributes([SearchAttributePair(CAMPAIGN_ID, str(ending.campaign_id))]),
    )
