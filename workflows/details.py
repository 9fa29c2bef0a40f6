"""What an operator reads of a workflow in the Temporal UI, in Markdown."""

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.lifecycle import OrderStatus
    from domain.messages.callbacks import RedeliveryState
    from domain.messages.campaigns import ShutdownInput, ShutdownState
    from domain.messages.refunds import RefundInput, RefundState
    from workflows.markdown import quote
    from workflows.team.state import TeamState

SEATS_SHOWN = 50


def moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def team_details(state: TeamState, target_count: int, notes: list[str]) -> str:
    """The state in a sentence, what comes next, the seats, and what operators did."""
    seats = state.live_seats
    unpaid = sum(seat.status is OrderStatus.LOCKED for seat in seats.values())
    if state.is_forming and state.deadline is not None:
        next_step = f"It takes buyers until {moment(state.deadline)}."
    elif state.refund_until is not None:
        next_step = f"Refunds are possible until {moment(state.refund_until)}."
    else:
        next_step = ""
    lines = [f"**{state.status}**: {state.paid_count} paid and {unpaid} unpaid of {target_count} seats. {next_step}", ""]
    if state.direct_locks or state.direct_payments:
        direct = f"{state.direct_locks} seat(s) and {state.direct_payments} payment(s)"
        lines += [f"Admitted directly, while this workflow would have been late: {direct}.", ""]
    if seats:
        lines += ["| out_trade_no | user | order | unpaid seat is kept until |", "|---|---|---|---|"]
        for out_trade_no, seat in list(seats.items())[:SEATS_SHOWN]:
            is_unpaid = seat.status is OrderStatus.LOCKED and seat.keep_until is not None
            kept = moment(seat.keep_until) if is_unpaid and seat.keep_until else ""
            lines.append(f"| {quote(out_trade_no)} | {quote(seat.user_id)} | {seat.status} | {kept} |")
        if len(seats) > SEATS_SHOWN:
            lines.append(f"\n… and {len(seats) - SEATS_SHOWN} more.")
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def refund_details(order: RefundInput | None, refund: RefundState | None, notes: list[str]) -> str:
    """What is undone and how far, and what operators did."""
    lines = []
    if order is not None:
        lines.append(f"Order **{quote(order.out_trade_no)}** of {quote(order.source)}.")
    if refund is not None:
        seat = "free" if refund.released else "held"
        answer = refund.answer or ("asked" if refund.needs_consent else "not asked")
        columns = (refund.attempt, refund.kind, refund.status, seat, answer, f"{quote(refund.team_id)}: {refund.team_status}")
        lines += ["", "| refund | kind | status | seat | the mall's answer | team |", "|---|---|---|---|---|---|"]
        lines.append(f"| {' | '.join(map(str, columns))} |")
        if refund.note:
            lines.append(f"\nNote: {quote(refund.note)}")
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def shutdown_details(shutdown: ShutdownInput, state: ShutdownState) -> str:
    """Who ends which campaign, and how far that is."""
    by, reason = quote(shutdown.operator) or "an operator", quote(shutdown.reason) or "no reason given"
    lines = [
        f"Campaign **{shutdown.campaign_id}** is ended by {by} ({reason}): {'done' if state.finished else 'under way'}.",
        "",
        "| | of | done | |",
        "|---|---|---|---|",
        f"| teams | {state.teams_total} | {state.teams_done} | {state.teams_completed} completed before they were closed |",
        f"| refunds | {state.refunds_total} | {state.refunds_done} | {state.refunds_attention} wait for a person |",
        f"| money | {state.amount_total} | {state.amount_returned} | |",
    ]
    return "\n".join(lines)


def redelivery_details(state: RedeliveryState) -> str:
    """How far a redelivery is."""
    lines = [
        f"**{state.resent}** of {state.count} event(s) are sent again: {'done' if state.finished else 'under way'}.",
        "",
        "| delivered | waiting for an attempt | dead | left to their refunds |",
        "|---|---|---|---|",
        f"| {state.delivered} | {state.pending} | {state.dead} | {state.refunds} |",
    ]
    return "\n".join(lines)
