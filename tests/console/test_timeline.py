"""The runs of workflows among what happened: each at its time, and none twice on two pages."""

from datetime import UTC, datetime, timedelta

from console.timeline import with_runs
from domain.schemas.timeline import TimelineEntry, TimelineKind
from domain.schemas.workflows import WorkflowRun

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
NOTHING = dict.fromkeys(("amount", "code", "detail", "by", "event_id"))


def entry(number: int, order_id: str | None = None) -> TimelineEntry:
    return TimelineEntry(
        number=number,
        at=NOON + timedelta(minutes=number),
        kind=TimelineKind.SEAT_LOCKED,
        order_id=order_id,
        out_trade_no=order_id and f"trade-{order_id}",
        user_id=order_id and "ann",
        **NOTHING,
    )


def run(workflow_id: str, began: float, ended: float | None) -> WorkflowRun:
    at = [None if each is None else NOON + timedelta(minutes=each) for each in (began, ended)]
    assert at[0] is not None
    return WorkflowRun(id=workflow_id, status="completed" if ended else "running", began_at=at[0], ended_at=at[1])


ENTRIES = [entry(1), entry(2, "order"), entry(3), entry(4)]
RUNS = [run("team-t", 0.5, None), run("refund-order-1", 2, 3.5), run("payment-other", 9, 10)]


def told(entries: list[TimelineEntry]) -> list[tuple[int, str, str | None]]:
    return [(each.number, each.kind, each.workflow.id if each.workflow else None) for each in entries]


def test_runs_begin_and_end_among_the_entries() -> None:
    merged = with_runs(ENTRIES, RUNS, until=None)
    assert told(merged) == [
        (1, "run_began", "team-t"),
        (1, "seat_locked", None),
        (2, "run_began", "refund-order-1"),
        (2, "seat_locked", None),
        (3, "seat_locked", None),
        (4, "run_ended", "refund-order-1"),
        (4, "seat_locked", None),
        (5, "run_began", "payment-other"),
        (5, "run_ended", "payment-other"),
    ]
    of_refund = merged[5]
    assert (of_refund.out_trade_no, of_refund.user_id, of_refund.code, of_refund.detail) == (
        "trade-order",
        "ann",
        "refund",
        "completed",
    )
    assert (merged[7].order_id, merged[7].code) == (None, "payment")


def test_each_is_on_one_of_two_pages() -> None:
    for cut in range(1, len(ENTRIES)):
        older, newer = ENTRIES[:cut], ENTRIES[cut:]
        pages = with_runs(older, RUNS, until=newer[0].at) + with_runs(newer, RUNS, until=None)
        assert sorted(told(pages), key=str) == sorted(told(with_runs(ENTRIES, RUNS, until=None)), key=str)
    assert with_runs([], RUNS, until=None) == []
