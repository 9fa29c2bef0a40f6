"""The shutdown of a campaign: closes every team that is still forming, and stays until all their money has gone back.

The teams' own workflows close them and start the refunds, each at its own pace, as when an operator closes one team.
This one counts by the rows what is done, and does itself what no team's workflow does.
"""

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import CampaignActivities, RefundStartActivities
    from domain.messages.acts import signal_author
    from domain.messages.campaigns import BeginShutdown, CloseTeams, ReadShutdown, ShutdownInput, ShutdownState
    from domain.messages.refunds import StartTeamRefunds
    from workflows.activity_calls import execute_batched, execute_with_retries
    from workflows.deliveries import ONE_ATTEMPT, start_delivery
    from workflows.details import shutdown_details

FIRST_CHECK, LATEST_CHECK = timedelta(seconds=1), timedelta(minutes=5)


@workflow.defn
class CampaignShutdownWorkflow:
    @workflow.init
    def __init__(self, shutdown: ShutdownInput) -> None:
        self._shutdown = shutdown
        self._operator = shutdown.operator or "an operator"
        self._after = shutdown.after
        self._signaled = shutdown.signaled

    @workflow.run
    async def run(self, shutdown: ShutdownInput) -> str:
        await self._begin()
        pause, before = FIRST_CHECK, None
        while not (state := await self._measure()).finished:
            if state.teams_forming:
                await self._close_teams(state.teams_forming)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(shutdown.model_copy(update={"after": self._after, "signaled": self._signaled}))
            if state.teams_forming and self._after:
                continue
            pause = FIRST_CHECK if state != before else min(pause * 2, LATEST_CHECK)
            before = state
            await workflow.sleep(pause, summary="teams close, and money goes back")
        return (
            f"{state.teams_done} team(s) decided, {state.teams_completed} of them completed; "
            f"{state.refunds_done} refund(s), {state.amount_returned} returned"
        )

    async def _begin(self) -> None:
        shutdown = self._shutdown
        author = shutdown.author or signal_author(shutdown.operator)
        begin = BeginShutdown(campaign_id=shutdown.campaign_id, author=author, reason=shutdown.reason, now=workflow.now())
        await execute_with_retries(CampaignActivities.begin_shutdown, begin, summary="end the campaign")

    async def _measure(self) -> ShutdownState:
        read = ReadShutdown(campaign_id=self._shutdown.campaign_id, now=workflow.now())
        state = await execute_with_retries(CampaignActivities.measure_shutdown, read, summary="count what is done")
        workflow.set_current_details(shutdown_details(self._shutdown, state))
        return state

    async def _close_teams(self, forming: int) -> None:
        """Some hundreds at a time. The second time their rows are changed directly: their workflows have not done it."""
        shutdown = self._shutdown
        close = CloseTeams(
            campaign_id=shutdown.campaign_id,
            operator=self._operator,
            reason=f"campaign {shutdown.campaign_id} ends: {shutdown.reason or 'no reason given'}"[:500],
            after=self._after,
            by_rows=self._signaled,
            now=workflow.now(),
        )
        closed = await execute_batched(CampaignActivities.close_teams, close, summary=f"close {forming} team(s)")
        for team_id in closed.owing:
            request, summary = StartTeamRefunds(team_id=team_id), f"start refunds of {team_id}"
            await execute_batched(RefundStartActivities.start_team_refunds, request, summary=summary)
        self._after = closed.after
        self._signaled = self._signaled or not closed.after
        if closed.event_ids:
            # One attempt: reconciliation delivers what it leaves.
            with suppress(ActivityError):
                summary = f"deliver {len(closed.event_ids)} event(s)"
                await start_delivery(closed.event_ids, summary=summary, retries=ONE_ATTEMPT)
