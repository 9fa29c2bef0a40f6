"""What happened to a team or an order, with the runs of its workflows: Temporal keeps those, and the database does not."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from api.container import Container
from db.teams.timeline import read_timeline
from domain.ids import order_of_payment, payment_workflow_id, refund_of, team_workflow_id
from domain.lifecycle import PaymentOutcome
from domain.schemas.refunds import OpsRefund
from domain.schemas.timeline import TimelineEntry, TimelineKind
from domain.schemas.workflows import WorkflowLink, WorkflowRun


class Timeline(NamedTuple):
    entries: list[TimelineEntry]
    has_runs: bool
    """false: Temporal does not answer"""


async def timeline_with_runs(
    container: Container,
    team_id: str,
    refunds: Sequence[OpsRefund],
    order_id: str | None = None,
    before: int | None = None,
) -> Timeline:
    """Returns the entries as db.teams.timeline.read_timeline, with the runs that began or ended between them.

    Args:
        container: of the API.
        team_id: the team.
        refunds: of the team or of the order.
        order_id: only what concerns this order, or the whole team.
        before: only entries whose number is lower.
    """
    entries = await read_timeline(container.database, team_id, order_id, None if before is None else before + 1)
    newer = entries.pop() if before is not None and entries else None
    unsettled = {
        entry.order_id for entry in entries if entry.kind is TimelineKind.PAYMENT and entry.code != PaymentOutcome.SETTLED
    }
    ids = [team_workflow_id(team_id), *(refund.workflow.id for refund in refunds)]
    runs = await container.runs.of([*ids, *(payment_workflow_id(each) for each in unsettled if each)])
    merged = with_runs(entries, runs or [], until=newer.at if newer else None)
    return Timeline([container.links.fill(entry) for entry in merged], has_runs=runs is not None)


def with_runs(entries: Sequence[TimelineEntry], runs: Sequence[WorkflowRun], *, until: datetime | None) -> list[TimelineEntry]:
    """Puts the runs among the entries of a page, each with the number of the next entry.

    Args:
        entries: of the page.
        runs: all that there are.
        until: when the next newer entry was, which is on another page; None: this is the newest page.
    """
    if not entries:
        return []
    first, last = entries[0], entries[-1]
    seats = {entry.order_id: entry for entry in entries if entry.order_id}
    moments = [
        each
        for run in runs
        for each in _moments(run, seats)
        if (first.number == 1 or each.at > first.at) and (until is None or each.at <= until)
    ]
    in_order = sorted([*moments, *entries], key=lambda entry: entry.at)
    merged, number = [], last.number + 1
    for entry in reversed(in_order):
        number = number if entry.workflow else entry.number
        merged.append(entry.model_copy(update={"number": number}))
    return merged[::-1]


def _moments(run: WorkflowRun, seats: Mapping[str, TimelineEntry]) -> Iterator[TimelineEntry]:
    seat = seats.get(order_of_payment(run.id) or (refund_of(run.id) or ("",))[0])
    began = TimelineEntry(
        number=0,
        at=run.began_at,
        kind=TimelineKind.RUN_BEGAN,
        order_id=seat.order_id if seat else None,
        out_trade_no=seat.out_trade_no if seat else None,
        user_id=seat.user_id if seat else None,
        amount=None,
        code=run.id.partition("-")[0],
        detail=None,
        by=None,
        event_id=None,
        workflow=WorkflowLink(id=run.id),
    )
    yield began
    if run.ended_at is not None:
        yield began.model_copy(update={"at": run.ended_at, "kind": TimelineKind.RUN_ENDED, "detail": run.status})
