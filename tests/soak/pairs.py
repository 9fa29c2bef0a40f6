"""The rare things that happen to teams, and the pairs of them in which defects hide."""

from collections import Counter
from itertools import combinations

from tests.soak.history import History
from tests.soak.rows import Rows


def never_reached(history: History, rows: Rows) -> list[str]:
    """The pairs that no team of this run has met: it says nothing of them."""
    tags = tags_of_teams(history, rows)
    return [f"{one} and {other}" for one, other in combinations(tags, 2) if not tags[one] & tags[other]]


def tags_of_teams(history: History, rows: Rows) -> dict[str, set[str]]:
    """The teams to which each of the rare things happened."""
    team_of = {order.order_id: order.team_id for order in rows.orders}
    events = {event.event_id: event.team_id for event in rows.events}
    full = {refusal.request.get("team_id", "") for refusal in history.operations if refusal.code == "team_full"}
    sizes = Counter(order.team_id for order in rows.orders if order.paid_amount is not None)
    sent_again = {operation.subject for operation in history.operations if operation.kind == "resend"}
    gone = {callback.event_id for callback in history.callbacks if callback.answered == 410}
    taken = Counter(callback.event_id for callback in history.callbacks if callback.answered == 200)
    told_again = gone | sent_again | {event_id for event_id, count in taken.items() if count > 1}
    ended = {shutdown.campaign_id: shutdown.begun_at for shutdown in rows.shutdowns}
    return {
        "full": full
        | {team.team_id for team in rows.teams if team.completion == "target" or sizes[team.team_id] >= team.target_count},
        "late payment": {
            order.team_id
            for order in rows.orders
            if order.payment_reason == "late_payment" or order.payment_outcome == "reseated"
        },
        "veto": {team_of[refund.order_id] for refund in rows.refunds if refund.answer == "vetoed"},
        "timeout": {
            order.team_id
            for order in rows.orders
            if order.cancel_reason == "lock_timeout" or order.payment_outcome == "reseated"
        },
        "redelivery": {events[event_id] for event_id in told_again if event_id in events},
        "shutdown": {team.team_id for team in rows.teams if team.campaign_id in ended},
    }
