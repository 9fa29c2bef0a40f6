"""What an operator reads of a team, or of a refund, in the Temporal UI."""

from collections.abc import Mapping
from datetime import datetime

from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.campaigns import ShutdownInput, ShutdownState
from domain.messages.orders import SettledPayment
from domain.messages.refunds import RefundInput, RefundState
from domain.messages.teams import Seat

SEATS_SHOWN = 50


def moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def team_details(
    *,
    status: TeamStatus,
    target_count: int,
    next_step: str,
    seats: Mapping[str, Seat],
    notes: list[str],
) -> str:
    """Markdown: the state in a sentence, what comes next, the seats, and what operators did."""
    paid = sum(seat.status is OrderStatus.PAID for seat in seats.values())
    unpaid = sum(seat.status is OrderStatus.LOCKED for seat in seats.values())
    lines = [f"**{status}**: {paid} paid and {unpaid} unpaid of {target_count} seats. {next_step}", ""]
    if seats:
        lines += ["| out_trade_no | user | order | unpaid seat is kept until |", "|---|---|---|---|"]
        for out_trade_no, seat in list(seats.items())[:SEATS_SHOWN]:
            kept = moment(seat.keep_until) if seat.status is OrderStatus.LOCKED else ""
            lines.append(f"| {out_trade_no} | {seat.user_id} | {seat.status} | {kept} |")
        if len(seats) > SEATS_SHOWN:
            lines.append(f"\n… and {len(seats) - SEATS_SHOWN} more.")
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def refund_details(
    order: RefundInput | None, refund: RefundState | None, booked: SettledPayment | None, notes: list[str]
) -> str:
    """Markdown: what is undone and how far, and what operators did."""
    lines = []
    if order is not None:
        lines.append(f"Order **{order.out_trade_no}** of {order.source}.")
    if booked is not None:
        lines.append(f"Its payment: {booked.outcome}{f', {booked.reason}' if booked.reason else ''}.")
    if refund is not None:
        seat = "free" if refund.released else "held"
        answer = refund.answer or ("asked" if refund.asks else "not asked")
        columns = (refund.attempt, refund.kind, refund.status, seat, answer, f"{refund.team_id}: {refund.team_status}")
        lines += ["", "| refund | kind | status | seat | the mall's answer | team |", "|---|---|---|---|---|---|"]
        lines.append(f"| {' | '.join(map(str, columns))} |")
        if refund.note:
            lines.append(f"\nSaid to it: {refund.note}")
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def ending_details(ending: ShutdownInput, state: ShutdownState) -> str:
    """Markdown: who ends which campaign, and how far that is."""
    who, why = ending.operator or "an operator", ending.reason or "no reason given"
    lines = [
        f"Campaign **{ending.campaign_id}** ends by {who} ({why}): {'done' if state.finished else 'under way'}.",
        "",
        "| | of | done | |",
        "|---|---|---|---|",
        f"| teams | {state.teams_total} | {state.teams_done} | {state.teams_completed} completed before their turn |",
        f"| refunds | {state.refunds_total} | {state.refunds_done} | {state.refunds_attention} wait for a person |",
        f"| money | {state.amount_total} | {state.amount_returned} | |",
    ]
    return "\n".join(lines)
