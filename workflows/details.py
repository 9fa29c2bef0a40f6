"""What an operator reads of a team in the Temporal UI."""

from collections.abc import Mapping
from datetime import datetime

from domain.messages import Seat
from domain.states import OrderStatus, TeamStatus

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
