"""Identifiers derived from what they name, so that a repeated request finds the same team and order."""

import base64
import hashlib

_SEPARATOR = "\x1f"


def _derived(kind: str, *parts: str) -> str:
    """Returns 26 characters of lower-case base32: 130 bits of SHA-256 over the parts."""
    digest = hashlib.sha256(_SEPARATOR.join((kind, *parts)).encode()).digest()
    return base64.b32encode(digest[:17]).decode().lower()[:26]


def team_id(source: str, opener_out_trade_no: str) -> str:
    """Returns the id of the team that an order opens."""
    return _derived("team", source, opener_out_trade_no)


def order_id(source: str, out_trade_no: str) -> str:
    return _derived("order", source, out_trade_no)


def event_id(event_type: str, subject_id: str, attempt: int = 1) -> str:
    """Returns the id of the event of one type about a team or an order; each attempt of a refund has events of its own."""
    return f"evt_{_derived(event_type, subject_id, str(attempt))}"


def team_workflow_id(team: str) -> str:
    return f"team-{team}"


def refund_workflow_id(order: str, attempt: int) -> str:
    return f"refund-{order}-{attempt}"


def audience_workflow_id(audience: str, import_id: int) -> str:
    return f"audience-{audience}-{import_id}"


def shutdown_workflow_id(campaign_id: int) -> str:
    return f"ending-{campaign_id}"
