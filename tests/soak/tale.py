"""A short history in which every rule is exercised and none is broken: what tests of the rules begin with.

Team T of two is full with A and B; C, who had B's seat before, pays late and gets the money back. A may not leave, B may. D is
the only member of team U, whose campaign is shut down; E was never paid for, and its campaign has a stock of one.
"""

from domain.ids import team_workflow_id
from tests.soak.history import ENGINE_AWAY, Callback, Fault, History, Json, Operation, Outcome
from tests.soak.rows import (
    Campaign,
    Conflict,
    Delivery,
    Event,
    Order,
    Refund,
    Rows,
    Shutdown,
    Team,
    Workflow,
)

OK, REFUSED, UNKNOWN = Outcome.OK, Outcome.REFUSED, Outcome.UNKNOWN
PRICE = "80.00"


def operation(
    kind: str,
    subject: str,
    began: float,
    outcome: Outcome = OK,
    code: str = "200",
    request: Json | None = None,
    answer: Json | None = None,
) -> Operation:
    return Operation(
        number=0,
        kind=kind,
        subject=subject,
        request=request or {},
        began=began,
        ended=began + 0.5,
        outcome=outcome,
        code=code,
        answer=answer or {},
    )


def lock(name: str, began: float, team: str, campaign: int, *, refused: str = "", user: str = "") -> Operation:
    request = {"user_id": user or f"user-{name}", "campaign_id": campaign, "team_id": team}
    if refused:
        return operation("lock", name, began, REFUSED, refused, request)
    answer = {"order_id": f"o-{name}", "team_id": team, "user_id": f"user-{name}", "pay_price": PRICE, "status": "locked"}
    return operation("lock", name, began, OK, "201", request, answer)


def pay(name: str, began: float, outcome: str, reason: str | None = None, amount: str = PRICE) -> Operation:
    return operation("pay", name, began, OK, "200", {"amount": amount}, {"outcome": outcome, "reason": reason})


def order(name: str, team: str, campaign: int, locked_at: float, status: str, **fields: object) -> Order:
    given: Json = {
        "order_id": f"o-{name}",
        "out_trade_no": name,
        "user_id": f"user-{name}",
        "team_id": team,
        "campaign_id": campaign,
        "status": status,
        "live": status == "paid",
        "pay_price": PRICE,
        "locked_at": locked_at,
        "lock_expires_at": locked_at + 2,
    }
    return Order(**{**given, **fields})


def paid(reported_at: float, outcome: str = "settled", reason: str | None = None) -> Json:
    return {"paid_amount": PRICE, "payment_outcome": outcome, "payment_reason": reason, "payment_reported_at": reported_at}


def event(sequence: int, event_type: str, subject: str, team: str, at: float, **data: object) -> Event:
    order_id = None if event_type.startswith("team.") else f"o-{subject}"
    named: Json = {} if order_id is None else {"out_trade_no": subject}
    return Event(
        event_id=f"{event_type}-{subject}",
        type=event_type,
        team_id=team,
        order_id=order_id,
        data={"team_id": team, **named, **data},
        occurred_at=at,
        sequence=sequence,
    )


def received(of: Event, at: float, answered: int = 200, *, clock_step: float = 0.0) -> Callback:
    return Callback(
        at=at,
        event_id=of.event_id,
        type=of.type,
        sequence=of.sequence or 0,
        data=of.data,
        path="/yes",
        is_signed=not clock_step,
        clock_step=clock_step,
        answered=answered,
    )


EVENTS = (
    event(1, "order.cancelled", "C", "T", 13.1),
    event(2, "team.completed", "T", "T", 16.2, out_trade_nos=["A", "B"]),
    event(3, "order.refunded", "C", "T", 17.1, amount=PRICE, kind="unsettled"),
    event(4, "order.refund_requested", "A", "T", 18.1, amount=PRICE),
    event(5, "order.refund_requested", "B", "T", 19.1, amount=PRICE),
    event(6, "order.refunded", "B", "T", 20.1, amount=PRICE, kind="paid_formed"),
    event(7, "order.refunded", "D", "U", 25.1, amount=PRICE, kind="paid_unformed"),
    event(8, "order.cancelled", "E", "V", 33.1),
    event(9, "order.refunded", "F", "V", 36.1, amount=PRICE, kind="unsettled"),
)
CANCELLED_C, COMPLETED, REFUNDED_C, QUESTION_A, QUESTION_B, REFUNDED_B, REFUNDED_D, CANCELLED_E, REFUNDED_F = EVENTS

HISTORY = History(
    operations=(
        lock("A", 10, "T", 1),
        lock("A", 10.1, "T", 1),
        lock("C", 10.6, "T", 1),
        pay("A", 11.2, "settled"),
        pay("A", 11.3, "settled"),
        operation("read", "A", 12, answer={"status": "paid"}),
        lock("X", 12, "T", 1, refused="team_full"),
        lock("Y", 12, "T", 1, refused="already_in_team", user="user-A"),
        lock("Y", 12, "T", 1, refused="take_limit_reached", user="user-A"),
        lock("B", 14, "T", 1),
        pay("B", 16, "settled"),
        pay("C", 17, "refunding", "late_payment"),
        operation("pay", "C", 17.5, REFUSED, "out_trade_no_reused", {"amount": "2.00"}),
        lock("X", 17.8, "T", 1, refused="team_closed"),
        operation("refund", "A", 18),
        operation("refund_resend", "A", 18.8, REFUSED, "refund_not_found"),
        operation("refund", "B", 19),
        operation("refund", "A", 23, REFUSED, "refund_window_closed"),
        lock("D", 23, "U", 2),
        pay("D", 24, "settled"),
        operation("shut_down", "2", 25),
        lock("X", 26, "U", 2, refused="campaign_inactive"),
        lock("E", 30, "V", 3),
        lock("X", 31, "V", 3, refused="stock_exhausted"),
        lock("F", 34, "V", 3),
        operation("block", "True", 35),
        lock("X", 35.5, "V", 3, refused="mall_blocked"),
        pay("F", 36, "refunding", "mall_blocked"),
        operation("pay", "Z", 37, UNKNOWN, "temporarily_unavailable", {"amount": PRICE}),
        lock("X", 104, "T", 1, refused="team_closed"),
    ),
    callbacks=(
        received(CANCELLED_C, 13.4, 401, clock_step=3600),
        received(CANCELLED_C, 13.9),
        received(COMPLETED, 16.5, 410),
        received(COMPLETED, 17.5),
        received(REFUNDED_C, 17.6),
        received(QUESTION_A, 18.2, 409),
        received(QUESTION_B, 19.2),
        received(REFUNDED_B, 20.4),
        received(REFUNDED_D, 25.6),
        received(CANCELLED_E, 33.4),
        received(REFUNDED_F, 36.4),
    ),
    faults=(
        Fault(kind="kill worker", began=60, ended=61, whole_at=62),
        Fault(kind=ENGINE_AWAY, began=100, ended=106, whole_at=106),
    ),
)

ROWS = Rows(
    orders=(
        order("A", "T", 1, 10.05, "paid", **paid(11.25)),
        order("B", "T", 1, 14.05, "refunded", **paid(16.2)),
        order(
            "C",
            "T",
            1,
            10.65,
            "refunded",
            cancel_reason="lock_timeout",
            cancelled_at=13.1,
            **paid(17.1, "refunding", "late_payment"),
        ),
        order("D", "U", 2, 23.05, "refunded", **paid(24.05)),
        order("E", "V", 3, 30.05, "cancelled", cancel_reason="lock_timeout", cancelled_at=33.1),
        order("F", "V", 3, 34.05, "refunded", **paid(36.1, "refunding", "mall_blocked")),
    ),
    teams=(
        Team(
            team_id="T",
            version=9,
            campaign_id=1,
            status="completed_with_refunds",
            target_count=2,
            payment_grace=0,
            refund_window=5,
            opened_at=10.05,
            deadline=20,
            completed_at=16.2,
            completion="target",
        ),
        Team(
            team_id="U",
            version=4,
            campaign_id=2,
            status="failed",
            target_count=2,
            payment_grace=0,
            refund_window=5,
            opened_at=23.05,
            deadline=33,
            failed_at=25.05,
            fail_reason="closed",
        ),
        Team(
            team_id="V",
            version=6,
            campaign_id=3,
            status="failed",
            target_count=2,
            payment_grace=0,
            refund_window=5,
            opened_at=30.05,
            deadline=40,
            failed_at=36.1,
            fail_reason="abandoned",
        ),
    ),
    refunds=(
        Refund(
            order_id="o-C",
            attempt=1,
            kind="unsettled",
            status="done",
            amount=PRICE,
            requested_at=17.1,
            released_at=17.1,
            finished_at=17.7,
        ),
        Refund(
            order_id="o-A",
            attempt=1,
            kind="paid_formed",
            status="rejected",
            amount=PRICE,
            question=QUESTION_A.event_id,
            answer="vetoed",
            requested_at=18.1,
            finished_at=18.5,
        ),
        Refund(
            order_id="o-B",
            attempt=1,
            kind="paid_formed",
            status="done",
            amount=PRICE,
            question=QUESTION_B.event_id,
            answer="agreed",
            requested_at=19.1,
            released_at=20.1,
            finished_at=20.5,
        ),
        Refund(
            order_id="o-D",
            attempt=1,
            kind="paid_unformed",
            status="done",
            amount=PRICE,
            requested_at=25.1,
            released_at=25.1,
            finished_at=25.9,
        ),
        Refund(
            order_id="o-F",
            attempt=1,
            kind="unsettled",
            status="done",
            amount=PRICE,
            requested_at=36.1,
            released_at=36.1,
            finished_at=36.9,
        ),
    ),
    events=EVENTS,
    deliveries=tuple(
        Delivery(event_id=each.event_id, kind="http", address="/yes", status="delivered", attempts=1) for each in EVENTS
    ),
    campaigns=(
        Campaign(campaign_id=1, status="active", take_limit=1),
        Campaign(campaign_id=2, status="ended", take_limit=1),
        Campaign(campaign_id=3, status="active", take_limit=1, stock=1),
    ),
    shutdowns=(Shutdown(campaign_id=2, begun_at=25, finished_at=26),),
    conflicts=(Conflict(order_id="o-C", amount="2.00"),),
    workflows=(
        Workflow(
            workflow_id=team_workflow_id("T"),
            status="RUNNING",
            view_status="completed_with_refunds",
            view_version=9,
            view_seats={"A": "paid"},
        ),
        Workflow(workflow_id=team_workflow_id("U"), status="COMPLETED", closed_at=26),
        Workflow(workflow_id=team_workflow_id("V"), status="COMPLETED", closed_at=37),
        Workflow(workflow_id="refund-o-A-1", status="FAILED", closed_at=18.6, failure="RefundRejected"),
    ),
    feed=tuple((each.sequence or 0, each.event_id) for each in EVENTS),
    invariants_asked=1,
)
