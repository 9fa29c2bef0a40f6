"""The rules of the soak, each fed with a history that breaks it."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from domain.ids import team_workflow_id
from tests.soak.checker import RULES, broken, check, never_exercised
from tests.soak.history import Callback, Fault, History, Operation
from tests.soak.pairs import never_reached
from tests.soak.rows import Event, Rows
from tests.soak.tale import (
    COMPLETED,
    EVENTS,
    HISTORY,
    OK,
    PRICE,
    REFUNDED_B,
    REFUSED,
    ROWS,
    UNKNOWN,
    event,
    lock,
    operation,
    order,
    paid,
    pay,
    received,
)

Tale = tuple[History, Rows]
Change = Callable[[], Tale]


def rows(kind: str, key: str, value: object, **changes: object) -> Tale:
    """The tale, but for the rows of this kind that have this value."""
    items: Any = tuple(replace(item, **changes) if getattr(item, key) == value else item for item in getattr(ROWS, kind))
    assert items != getattr(ROWS, kind)
    return HISTORY, replace(ROWS, **{kind: items})


def without_rows(kind: str, key: str, value: object) -> Tale:
    kept: Any = tuple(item for item in getattr(ROWS, kind) if getattr(item, key) != value)
    assert len(kept) < len(getattr(ROWS, kind))
    return HISTORY, replace(ROWS, **{kind: kept})


def more(*items: Operation | Callback | Fault) -> Tale:
    """The tale, and this."""
    return (
        History(
            (*HISTORY.operations, *(item for item in items if isinstance(item, Operation))),
            (*HISTORY.callbacks, *(item for item in items if isinstance(item, Callback))),
            (*HISTORY.faults, *(item for item in items if isinstance(item, Fault))),
        ),
        ROWS,
    )


def answered(kind: str, subject: str, **changes: object) -> Tale:
    """The tale, but for these answers."""
    found = [each for each in HISTORY.operations if (each.kind, each.subject) == (kind, subject)]
    assert found
    changed = tuple(replace(each, answer={**each.answer, **changes}) if each in found else each for each in HISTORY.operations)
    return replace(HISTORY, operations=changed), ROWS


def without(kind: str, subject: str) -> Tale:
    kept = tuple(each for each in HISTORY.operations if (each.kind, each.subject) != (kind, subject))
    assert len(kept) < len(HISTORY.operations)
    return replace(HISTORY, operations=kept), ROWS


def untold(event: Event) -> Tale:
    return replace(HISTORY, callbacks=tuple(each for each in HISTORY.callbacks if each.event_id != event.event_id)), ROWS


def with_events(*events: Event) -> Tale:
    """The tale with these events at last, all of them told."""
    told = tuple(received(each, 38) for each in events)
    everything = (*ROWS.events, *events)
    feed = tuple((each.sequence or 0, each.event_id) for each in everything)
    return replace(HISTORY, callbacks=(*HISTORY.callbacks, *told)), replace(ROWS, events=everything, feed=feed)


def in_team_t(*names: str) -> Tale:
    """Others have a seat beside A and C, for ever."""
    history, _ = more(*(lock(name, 10.7, "T", 1) for name in names))
    return history, replace(ROWS, orders=(*ROWS.orders, *(order(name, "T", 1, 10.75, "paid", **paid(11)) for name in names)))


def by_one_buyer() -> Tale:
    history, changed = in_team_t("G")
    orders = tuple(replace(each, user_id="user-A") if each.out_trade_no == "G" else each for each in changed.orders)
    return history, replace(changed, orders=orders)


BROKEN: dict[str, list[Change]] = {
    "an_answered_lock_has_its_order": [
        lambda: without_rows("orders", "out_trade_no", "E"),
        lambda: rows("orders", "out_trade_no", "A", pay_price="79.00"),
    ],
    "a_number_has_one_order": [lambda: more(replace(lock("A", 12, "T", 1), answer={"order_id": "o-other"}))],
    "a_refused_lock_leaves_nothing": [lambda: in_team_t_unasked("X")],
    "a_seat_is_lost_only_for_a_reason": [
        lambda: rows("orders", "out_trade_no", "E", cancelled_at=31.0),
        lambda: rows("orders", "out_trade_no", "E", cancel_reason="buyer"),
        lambda: rows("orders", "out_trade_no", "E", cancel_reason="operator"),
        lambda: rows("orders", "out_trade_no", "C", cancel_reason="team_failed"),
        lambda: rows("orders", "out_trade_no", "C", cancel_reason="team_completed"),
    ],
    "never_above_the_bound_of_team_full": [lambda: in_team_t("G")],
    "never_above_the_bound_of_stock_exhausted": [lambda: (HISTORY, stock(0))],
    "never_above_the_bound_of_take_limit_reached": [by_one_buyer],
    "never_above_the_bound_of_already_in_team": [by_one_buyer],
    "team_full_only_when_it_is_so": [lambda: more(lock("X", 33.5, "V", 3, refused="team_full"))],
    "stock_exhausted_only_when_it_is_so": [lambda: (HISTORY, stock(2))],
    "take_limit_reached_only_when_it_is_so": [lambda: more(lock("X", 12, "T", 1, refused="take_limit_reached"))],
    "already_in_team_only_when_it_is_so": [lambda: more(lock("X", 12, "T", 1, refused="already_in_team"))],
    "team_closed_only_when_it_is_so": [lambda: more(lock("X", 15, "T", 1, refused="team_closed"))],
    "campaign_inactive_only_when_it_is_so": [lambda: without("shut_down", "2")],
    "mall_blocked_only_when_it_is_so": [lambda: without("block", "True")],
    "refund_window_closed_only_when_it_is_so": [lambda: more(operation("refund", "A", 20, REFUSED, "refund_window_closed"))],
    "out_trade_no_reused_only_when_it_is_so": [
        lambda: more(operation("pay", "C", 18, REFUSED, "out_trade_no_reused", {"amount": PRICE}))
    ],
    "refund_not_found_only_when_it_is_so": [lambda: rows("refunds", "order_id", "o-A", finished_at=30.0)],
    "no_other_refusal": [
        lambda: more(lock("X", 12, "T", 1, refused="rate_limited")),
        lambda: more(replace(lock("X", 12, "T", 1), outcome=UNKNOWN, code="internal_error")),
    ],
    "an_answered_payment_is_booked": [
        lambda: answered("pay", "B", outcome="reseated"),
        lambda: rows("orders", "out_trade_no", "A", paid_amount="8.00"),
    ],
    "no_payment_is_invented": [lambda: without("pay", "D")],
    "a_repeated_payment_has_one_outcome": [lambda: more(pay("A", 13, "refunding", "late_payment"))],
    "payments_follow_the_table": [
        lambda: rows("orders", "out_trade_no", "A", pay_price="70.00"),
        lambda: rows("orders", "out_trade_no", "A", cancel_reason="lock_timeout"),
        lambda: rows("orders", "out_trade_no", "A", payment_outcome="reseated"),
        lambda: rows("orders", "out_trade_no", "C", cancel_reason=None),
        lambda: rows("orders", "out_trade_no", "F", payment_reason="amount_mismatch"),
        lambda: without("block", "True"),
    ],
    "another_amount_is_recorded": [lambda: without_rows("conflicts", "order_id", "o-C")],
    "money_is_conserved": [
        lambda: rows("orders", "out_trade_no", "D", status="paid"),
        lambda: rows("refunds", "order_id", "o-D", amount="79.00"),
        lambda: without_rows("refunds", "order_id", "o-D"),
        lambda: (HISTORY, replace(ROWS, refunds=(*ROWS.refunds, replace(ROWS.refunds[0], attempt=2)))),
        lambda: rows("refunds", "order_id", "o-D", order_id="o-E"),
    ],
    "the_mall_returns_exactly_that": [
        lambda: untold(REFUNDED_B),
        lambda: with_events(event(10, "order.refunded", "A", "T", 21, amount=PRICE)),
        lambda: with_events(replace(REFUNDED_B, event_id="again", sequence=10)),
        lambda: rows("events", "event_id", REFUNDED_B.event_id, data={**REFUNDED_B.data, "amount": "1.00"}),
    ],
    "the_mall_ships_exactly_that": [
        lambda: untold(COMPLETED),
        lambda: without_rows("events", "event_id", COMPLETED.event_id),
        lambda: rows("events", "event_id", COMPLETED.event_id, data={**COMPLETED.data, "out_trade_nos": ["A", "B", "C"]}),
    ],
    "an_answered_refund_is_carried_out": [
        lambda: refund_lost(),
        lambda: rows("refunds", "order_id", "o-A", finished_at=None),
    ],
    "a_vetoed_member_stays": [
        lambda: rows("refunds", "order_id", "o-A", status="done"),
        lambda: untold(EVENTS[3]),
    ],
    "a_member_leaves_only_by_consent": [
        lambda: untold(EVENTS[4]),
        lambda: rows("refunds", "order_id", "o-B", answer=None),
    ],
    "an_event_is_one_by_its_id": [
        lambda: more(replace(received(COMPLETED, 18), sequence=3)),
        lambda: more(replace(received(COMPLETED, 18), event_id="invented")),
    ],
    "every_event_is_told": [lambda: untold(EVENTS[0])],
    "deliveries_are_what_happened": [lambda: untold(EVENTS[0])],
    "sequences_have_no_gaps": [
        lambda: rows("events", "sequence", 9, sequence=10),
        lambda: (HISTORY, replace(ROWS, feed=ROWS.feed[:-1])),
    ],
    "the_last_event_tells_the_truth": [
        lambda: with_events(event(10, "order.cancelled", "A", "T", 21)),
        lambda: without_rows("events", "event_id", "order.cancelled-E"),
    ],
    "every_callback_is_signed": [lambda: more(replace(received(COMPLETED, 18), is_signed=False))],
    "a_gone_mall_is_told_again": [
        lambda: (replace(HISTORY, callbacks=tuple(each for each in HISTORY.callbacks if each.at != 17.5)), ROWS)
    ],
    "the_view_is_what_the_rows_are": [
        lambda: rows("workflows", "status", "RUNNING", view_status="completed"),
        lambda: rows("workflows", "status", "RUNNING", view_version=8),
        lambda: rows("workflows", "status", "RUNNING", view_seats={"A": "refunding"}),
    ],
    "every_team_has_its_workflow": [
        lambda: without_rows("workflows", "workflow_id", "team-U"),
        lambda: rows("workflows", "workflow_id", "team-U", status="FAILED"),
        lambda: rows("workflows", "workflow_id", "team-U", status="TERMINATED"),
    ],
    "workflows_fail_only_as_they_should": [lambda: rows("workflows", "status", "FAILED", failure="BrokenInvariant")],
    "the_invariants_hold": [lambda: (HISTORY, replace(ROWS, violations=({"invariant": 1},)))],
    "no_part_has_met_a_defect": [lambda: (HISTORY, replace(ROWS, defects=("a defect",)))],
    "an_ended_campaign_takes_nobody": [
        lambda: rows("campaigns", "campaign_id", 2, status="active"),
        lambda: (
            more(lock("G", 28, "U", 2))[0],
            replace(ROWS, orders=(*ROWS.orders, order("G", "U", 2, 28.05, "paid", **paid(29)))),
        ),
    ],
    "every_answer_comes_in_time": [lambda: more(replace(operation("read", "A", 20, answer={"status": "paid"}), ended=40.0))],
    "every_due_seat_is_freed": [
        lambda: rows("orders", "out_trade_no", "E", cancelled_at=200.0),
        lambda: rows("orders", "out_trade_no", "E", status="locked", cancelled_at=None, cancel_reason=None),
    ],
    "every_team_is_decided": [
        lambda: rows("teams", "team_id", "U", failed_at=200.0),
        lambda: rows("teams", "team_id", "U", failed_at=None, status="forming"),
    ],
    "every_payment_has_ended": [
        lambda: rows("orders", "out_trade_no", "D", status="refunding"),
        lambda: rows("orders", "out_trade_no", "D", status="paid"),
    ],
    "every_refund_has_ended": [lambda: rows("refunds", "order_id", "o-D", finished_at=None, status="attention")],
    "every_delivery_has_ended": [lambda: rows("deliveries", "event_id", COMPLETED.event_id, status="pending")],
    "every_shutdown_has_ended": [lambda: rows("shutdowns", "campaign_id", 2, finished_at=None)],
    "every_part_comes_back": [lambda: more(Fault(kind="kill api", began=39, ended=40, whole_at=None))],
    "trade_needs_no_engine": [lambda: more(replace(lock("X", 104, "V", 3), outcome=UNKNOWN, code="temporarily_unavailable"))],
    "what_was_answered_can_be_read": [lambda: answered("read", "A", status="locked")],
}


def in_team_t_unasked(name: str) -> Tale:
    """An order that nobody was given."""
    return HISTORY, replace(
        ROWS, orders=(*ROWS.orders, order(name, "T", 1, 10.75, "cancelled", cancel_reason="team_completed"))
    )


def stock(of: int) -> Rows:
    return replace(ROWS, campaigns=tuple(replace(each, stock=of) if each.campaign_id == 3 else each for each in ROWS.campaigns))


def refund_lost() -> Tale:
    history, _ = more(operation("refund", "E", 31))
    orders = tuple(replace(each, status="locked") if each.out_trade_no == "E" else each for each in ROWS.orders)
    return history, replace(ROWS, orders=orders)


def test_the_tale_breaks_no_rule_and_exercises_every_one() -> None:
    verdicts = check(HISTORY, ROWS)
    assert broken(verdicts) == []
    assert never_exercised(verdicts) == []


@pytest.mark.parametrize("rule", [rule.__name__ for rule in RULES])
def test_a_rule_is_broken_by_what_breaks_it(rule: str) -> None:
    for change in BROKEN[rule]:
        verdicts = {verdict.rule: verdict for verdict in check(*change())}
        assert verdicts[rule.replace("_", " ")].broken


def test_a_rule_that_nothing_exercises_is_named() -> None:
    unexercised = never_exercised(check(History(), Rows()))
    assert len(unexercised) > len(RULES) - 5


def test_unanswered_requests_leave_every_outcome_open() -> None:
    """Whatever nobody was told may have happened or not: a lock, a payment, a refund."""
    unsure = tuple(
        replace(each, outcome=UNKNOWN, answer={}) if each.outcome is OK and each.kind != "read" else each
        for each in HISTORY.operations
    )
    assert broken(check(replace(HISTORY, operations=unsure), ROWS)) == []


def test_a_bound_is_wider_where_a_fault_was_near_and_where_a_workflow_was_terminated() -> None:
    late = rows("orders", "out_trade_no", "E", cancelled_at=65.0)[1]
    assert any("every due seat is freed" in each for each in broken(check(HISTORY, late)))
    near = (Fault(kind="kill worker", began=31, ended=32, whole_at=33),)
    assert not any("every due seat is freed" in each for each in broken(check(replace(HISTORY, faults=near), late)))
    later = rows("orders", "out_trade_no", "E", cancelled_at=200.0)[1]
    terminated = more(operation("terminate", "V", 31))[0]
    assert not any("every due seat is freed" in each for each in broken(check(terminated, later)))


def test_history_and_rows_are_the_same_after_they_were_written_and_read(tmp_path: Any) -> None:  # noqa: ANN401
    HISTORY.write(tmp_path / "history")
    ROWS.write(tmp_path / "rows")
    assert History.read((tmp_path / "history").read_text().splitlines()) == HISTORY
    assert Rows.read((tmp_path / "rows").read_text()) == ROWS
    assert {field.name for field in fields(Rows)} >= {"orders", "feed"}


def test_a_pair_of_rare_things_is_reached_where_one_team_has_met_both() -> None:
    missed = never_reached(HISTORY, ROWS)
    assert "full and late payment" not in missed
    assert "full and shutdown" in missed
    ended = rows("teams", "team_id", "T", campaign_id=2)
    assert never_reached(*ended) == [pair for pair in missed if "shutdown" not in pair]


def test_the_workflow_of_a_failed_team_need_not_know_of_its_refunds() -> None:
    view = "the view is what the rows are"
    for status, is_true in (("failed", True), ("forming", False)):
        _, believes = rows(
            "workflows", "workflow_id", team_workflow_id("V"), view_status=status, view_version=3, view_seats={"F": "paid"}
        )
        assert any(view in each for each in broken(check(HISTORY, believes))) is not is_true
