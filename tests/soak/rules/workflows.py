"""The workflows beside the rows, the platform's own invariants, and its logs."""

from domain.ids import team_workflow_id
from tests.soak.rules.facts import OK, Facts, Tally

EXPECTED_FAILURES = {
    "team": {"NoFirstSeat"},
    "refund": {"RefundRejected", "refund_window_closed", "refund_not_found", "NoRequest"},
}
"""how a workflow may fail: as the answer that somebody got"""


def the_view_is_what_the_rows_are(facts: Facts, tally: Tally) -> None:
    """At rest, a team's workflow has taken over the team's last version, also if it has ended, and believes what the rows say.

    The members of a failed team are being refunded, which its workflow does not follow.
    """
    for team in facts.rows.teams:
        workflow = facts.workflows.get(team_workflow_id(team.team_id))
        if workflow is None or workflow.view_seats is None or workflow.status == "TERMINATED":
            continue
        believed: tuple[object, ...] = (workflow.view_status, workflow.view_version, dict(workflow.view_seats))
        seats = {order.out_trade_no: order.status for order in facts.members[team.team_id] if order.live}
        true: tuple[object, ...] = (team.status, team.version, seats)
        compared = 1 if team.status == "failed" else 3
        tally.check(
            believed[:compared] == true[:compared],
            f"team {team.team_id} is {true}; its workflow ({workflow.status}) believes {believed}",
        )


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
