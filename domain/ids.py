"""Identifiers that follow from what they name: a request that is repeated lands on the same team and order."""

import base64
import hashlib

SOURCE_SEPARATOR = "\x1f"


def _derived(kind: str, *parts: str) -> str:
    """26 characters of lower-case base32: 130 bits of SHA-256 over the parts."""
    digest = hashlib.sha256(SOURCE_SEPARATOR.join((kind, *parts)).encode()).digest()
    return base64.b32encode(digest[:17]).decode().lower()[:26]


def team_id(source: str, opener_out_trade_no: str) -> str:
    """The team that this order opens."""
    return _derived("team", source, opener_out_trade_no)


def order_id(source: str, out_trade_no: str) -> str:
    return _derived("order", source, out_trade_no)


def event_id(event_type: str, subject_id: str, attempt: int = 1) -> str:
    """The event of this type about this team or order; `attempt` tells a refund's attempts apart."""
    return f"evt_{_derived(event_type, subject_id, str(attempt))}"


def team_workflow_id(team: str) -> str:
    return f"team-{team}"


def refund_workflow_id(order: str, attempt: int) -> str:
    return f"refund-{order}-{attempt}"


def payment_workflow_id(order: str) -> str:
    return f"payment-{order}"


def audience_workflow_id(audience: str, import_id: int) -> str:
    return f"audience-{audience}-{import_id}"


def redelivery_workflow_id(source: str, redelivery_id: int) -> str:
    return f"callbacks-{source}-{redelivery_id}"


def shutdown_workflow_id(campaign_id: int) -> str:
    return f"campaign-shutdown-{campaign_id}"
