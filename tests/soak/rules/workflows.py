"""The workflows beside the rows, the platform's own invariants, and its logs."""

from domain.ids import refund_workflow_id, team_workflow_id
from tests.soak.rows import Team, Workflow
from tests.soak.rules.facts import OK, Facts, Tally

EXPECTED_FAILURES = {
    "team": {"NoFirstSeat"},
    "refund": {"RefundRejected", "refund_window_closed", "refund_not_found", "NoRequest"},
}
"""how a workflow may fail: as the answer that somebody got"""
READ_WITHIN = 2.0
"""seconds of calm that a team's workflow has for its last look at the rows, and for its end after it"""


def the_view_is_what_the_rows_are(facts: Facts, tally: Tally) -> None:
    """At rest, a team's workflow believes what the rows say. One that has ended believes what they said then.

    The members of a failed team are being refunded, which its workflow does not follow.
    """
    for team in facts.rows.teams:
        workflow = facts.workflows.get(team_workflow_id(team.team_id))
        if workflow is None or workflow.view_status is None or workflow.view_seats is None:
            continue
        if workflow.status == "RUNNING" or _has_read_at_last(facts, team, workflow):
            has_failed = team.status == "failed"
            seats = {order.out_trade_no: order.status for order in facts.members[team.team_id] if order.live and not has_failed}
            view = (workflow.view_status, {} if has_failed else dict(workflow.view_seats))
            tally.check(
                view == (team.status, seats), f"team {team.team_id} is {team.status} {seats}; its workflow believes {view}"
            )


def _has_read_at_last(facts: Facts, team: Team, workflow: Workflow) -> bool:
    """Whether a workflow that is done must have seen the last change."""
    if workflow.status != "COMPLETED" or workflow.closed_at is None:
        return False
    return facts.calm_seconds(_last_change(facts, team), workflow.closed_at) > READ_WITHIN


def _last_change(facts: Facts, team: Team) -> float:
    """A refund names the moment at which its workflow decided; committed it is when that workflow has ended."""
    moments = [team.opened_at, team.completed_at, team.failed_at]
    for order in facts.members[team.team_id]:
        moments += [order.locked_at, order.cancelled_at, order.payment_reported_at]
        for refund in facts.refunds.get(order.order_id, []):
            moments += [refund.requested_at, refund.released_at, refund.finished_at]
            workflow = facts.workflows.get(refund_workflow_id(refund.order_id, refund.attempt))
            moments.append(workflow.closed_at if workflow else None)
    return max(moment for moment in moments if moment is not None)


def every_team_has_its_workflow(facts: Facts, tally: Tally) -> None:
    """A team's workflow has run, and has ended as one that is done; or somebody terminated it."""
    for team in facts.rows.teams:
        workflow = facts.workflows.get(team_workflow_id(team.team_id))
        status = workflow.status if workflow else "missing"
        is_fine = status in {"RUNNING", "COMPLETED"} or (status == "TERMINATED" and team.team_id in facts.terminated)
        tally.check(is_fine, f"the workflow of team {team.team_id}, which is {team.status}, is {status}")


def workflows_fail_only_as_they_should(facts: Facts, tally: Tally) -> None:
    """A workflow that failed did so with a refusal that somebody was told."""
    for workflow in facts.rows.workflows:
        expected = EXPECTED_FAILURES.get(workflow.workflow_id.partition("-")[0], set())
        is_fine = workflow.status != "FAILED" or workflow.failure in expected
        tally.check(is_fine, f"{workflow.workflow_id} failed with {workflow.failure}")


def the_invariants_hold(facts: Facts, tally: Tally) -> None:
    """The platform's own invariants hold whenever they are asked for."""
    tally.exercised += facts.rows.invariants_asked
    tally.broken += [str(violation) for violation in facts.rows.violations]


def no_part_has_met_a_defect(facts: Facts, tally: Tally) -> None:
    """No line of any log speaks of a defect."""
    tally.exercised += 1
    tally.broken += facts.rows.defects


def an_ended_campaign_takes_nobody(facts: Facts, tally: Tally) -> None:
    """A lock that begins after a campaign's shutdown was answered takes no new seat; its teams are over."""
    for shutdown in facts.of("shut_down", None, OK):
        campaign_id = int(shutdown.subject)
        tally.check(facts.campaigns[campaign_id].status == "ended", f"campaign {campaign_id} was ended, and is not")
        for order in facts.rows.orders:
            if order.campaign_id == campaign_id:
                first = min(lock.began for lock in facts.of("lock", order.out_trade_no))
                tally.check(first < shutdown.ended, f"{order.out_trade_no} was locked after the end of campaign {campaign_id}")


RULES = (
    the_view_is_what_the_rows_are,
    every_team_has_its_workflow,
    workflows_fail_only_as_they_should,
    the_invariants_hold,
    no_part_has_met_a_defect,
    an_ended_campaign_takes_nobody,
)
