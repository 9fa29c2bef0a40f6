"""Identifiers that follow from what they name: a request that is repeated lands on the same team and order."""

import base64
import hashlib
import re

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


def export_workflow_id(export_id: str) -> str:
    return f"export-{export_id}"


def shutdown_workflow_id(campaign_id: int) -> str:
    return f"campaign-shutdown-{campaign_id}"


_TEAM = re.compile(r"team-([a-z2-7]+)")
_REFUND = re.compile(r"refund-([a-z2-7]+)-([0-9]+)")
_PAYMENT = re.compile(r"payment-([a-z2-7]+)")


def team_of(workflow_id: str) -> str | None:
    """Returns the team that a workflow is of; None: it is of no team."""
    found = _TEAM.fullmatch(workflow_id)
    return found[1] if found else None


def refund_of(workflow_id: str) -> tuple[str, int] | None:
    """Returns the order and the attempt that a refund's workflow is of; None: it is of no refund."""
    found = _REFUND.fullmatch(workflow_id)
    return (found[1], int(found[2])) if found else None


def order_of_payment(workflow_id: str) -> str | None:
    """Returns the order that a payment's workflow is of; None: it is of no payment."""
    found = _PAYMENT.fullmatch(workflow_id)
    return found[1] if found else None
