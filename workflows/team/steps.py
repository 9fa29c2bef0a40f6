"""The steps that a team's workflow and its operators' signals share: transactions, and what follows from their answers."""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import RefundStartActivities, TeamActivities
    from domain.lifecycle import TeamDecision
    from domain.messages.acts import Act
    from domain.messages.refunds import StartTeamRefunds
    from domain.messages.teams import ConcludedTeam, ConcludeTeam, RowsChanged, TakeOver, TeamAnswer
    from workflows.activity_calls import (
        Activity,
        AnswerT,
        ArgumentT,
        execute_batched,
        execute_local_first,
        is_defect,
        refusal_of,
    )
    from workflows.deliveries import Deliveries, deliver_at_once
    from workflows.details import team_details
    from workflows.markdown import quote
    from workflows.operator_log import OperatorLog
    from workflows.search_attributes import TEAM_STATUS
    from workflows.task_queues import MASS_QUEUE
    from workflows.team.state import TeamInput, TeamState


READ_AGAIN = timedelta(seconds=1)


def take_over_summary(hint: RowsChanged | None) -> str:
    hint = hint or RowsChanged()
    direct = [f"{hint.locks} seat(s) locked directly"] if hint.locks else []
    direct += [f"{hint.payments} payment(s) booked directly"] if hint.payments else []
    return f"take over {' and '.join(direct) or 'the rows of the team'}"


class TeamSteps:
    def __init__(self, team: TeamInput) -> None:
        self._team = team
        self._state = team.state or TeamState()
        self._shown_status = self._state.status
        self._has_read_rows = team.state is None and not team.has_row
        """a run that continues another one, or that was started for a team's rows, reads them before it answers anybody"""
        self._read_at: datetime | None = None
        self._steps_under_way = 0
        self._refunds_started = False
        self._deliveries = Deliveries()
        self._log = OperatorLog(self._details, self._state.notes)

    async def _local_first(self, activity: Activity[ArgumentT, AnswerT], argument: ArgumentT, summary: str) -> AnswerT:
        """Runs a transaction on the team's rows; a defect is flagged."""
        self._steps_under_way += 1
        try:
            return await execute_local_first(activity, argument, summary=summary, local=self._team.local_activities)
        except FailureError as exc:
            self._state.must_read_rows = True  # the transaction may be committed all the same
            if is_defect(exc):
                self._log.flag(needs_attention=True)
                self._log.note(f"a defect stopped this step: {summary}: {quote(refusal_of(exc).message)}")
            raise
        finally:
            self._steps_under_way -= 1

    async def _transaction(self, activity: Activity[ArgumentT, AnswerT], argument: ArgumentT, summary: str) -> AnswerT:
        """For an update: a failure becomes its answer."""
        try:
            return await self._local_first(activity, argument, summary)
        except FailureError as exc:
            raise refusal_of(exc) from exc

    def _apply(self, answer: TeamAnswer) -> None:
        self._state.apply(answer, is_last=not self._steps_under_way)
        self._show_status()
        self._deliveries.start(answer.event_ids, f"deliver {len(answer.event_ids)} event(s): team {answer.team.status}")

    async def _conclude(self, decision: TeamDecision, act: Act | None = None) -> ConcludedTeam:
        conclude = ConcludeTeam(team_id=self._team.team_id, decision=decision, now=workflow.now(), act=act)
        concluded = await self._local_first(TeamActivities.conclude_team, conclude, f"conclude the team: {decision}")
        self._apply(concluded)
        if concluded.owed:
            self._log.note(f"Owed back to {len(concluded.owed)} paid member(s): {', '.join(map(quote, concluded.owed[:10]))}.")
            if act is None:
                await self._start_refunds(len(concluded.owed))
            else:
                # Whoever acted is answered first: the refunds of a large team take minutes to start.
                self._state.must_read_rows = True
        return concluded

    async def _start_refunds(self, count: int) -> None:
        """Once a run: from then on each refund has a workflow of its own."""
        self._refunds_started = True
        try:
            await execute_batched(
                RefundStartActivities.start_team_refunds,
                StartTeamRefunds(team_id=self._team.team_id),
                summary=f"start {count} refund(s)",
                task_queue=MASS_QUEUE,
            )
        except (asyncio.CancelledError, FailureError):
            # A cancel of the workflow has met it: the rows say what is still owed.
            self._refunds_started, self._state.must_read_rows = False, True
            raise

    async def _take_over(self) -> bool:
        """Replaces the view by the rows, and does what they say is still to be done; returns whether there is a team."""
        while True:
            self._state.must_read_rows = False
            known_before, summary = self._state.version, take_over_summary(self._state.hint)
            self._state.hint = None
            request = TakeOver(team_id=self._team.team_id, now=workflow.now())
            taken = await self._local_first(TeamActivities.take_over, request, summary)
            self._state.direct_locks += taken.locks
            self._state.direct_payments += taken.payments
            if taken.rows is None:
                break
            # A hint, or a newer answer, that came during the read makes it stale.
            if self._state.replace(taken.rows, known_before) and not self._state.must_read_rows:
                break
        self._has_read_rows = True
        self._read_at = workflow.now()
        if taken.rows is None:
            return False
        self._show_status()
        self._deliveries.start(taken.rows.event_ids, "deliver what the rows have undelivered")
        if taken.owed and not self._refunds_started:
            await self._start_refunds(taken.owed)
        return True

    async def _gather_changes(self) -> None:
        """Waits so that the rows of a team that is changed directly are read once a second, and not for each change."""
        pause = self._read_at + READ_AGAIN - workflow.now() if self._read_at else timedelta()
        if self._state.hint is not None and pause > timedelta():
            await workflow.sleep(pause, summary="gather changes of the rows")

    async def _is_told_at_once(self, event_ids: list[str]) -> bool:
        """Tells the mall of the end of a team in the task that has ended it: nobody waits for this workflow any more."""
        summary = f"deliver {len(event_ids)} event(s) at once"
        return bool(event_ids) and self._team.local_activities and await deliver_at_once(event_ids, summary=summary)

    def _collect_finished_deliveries(self) -> None:
        for failure in self._deliveries.collect():
            self._log.flag(needs_attention=True)
            self._log.note(failure)

    # --- what operators see ---

    def _show_status(self) -> None:
        if self._state.status is not self._shown_status:
            self._shown_status = self._state.status
            workflow.upsert_search_attributes([TEAM_STATUS.value_set(self._state.status)])
        self._log.show()

    def _details(self, notes: list[str]) -> str:
        return team_details(self._state, self._team.target_count, notes)
