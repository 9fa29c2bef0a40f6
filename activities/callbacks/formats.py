"""The bodies of callbacks: Standard Webhooks 1.0 (docs/callbacks.md), and the legacy format (docs/original-format.md)."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from standardwebhooks import Webhook

from db.callbacks.deliveries import Delivery
from domain.lifecycle import RefundKind
from domain.messages.callbacks import CallbackFormat
from domain.schemas.events import EventType
from domain.types import rfc3339

VALID_SECRETS = 2
"""the newest webhook secret, and the one before it, so that a mall can change over"""


class UnsendableError(Exception):
    """The delivery has no body in its format, or no signature. The message says why, and contains no secret."""


@dataclass(frozen=True, slots=True)
class Content:
    body: bytes
    content_type: str
    headers: dict[str, str]


class Format(Protocol):
    def content(self, delivery: Delivery, now: datetime) -> Content:
        """Returns the body, the same at every attempt, and the headers of an attempt at `now`.

        Raises:
            UnsendableError
        """

    def is_acknowledged(self, answer: bytes) -> bool:
        """Whether the body of a 2xx answer acknowledges the event."""


class StandardFormat:
    def content(self, delivery: Delivery, now: datetime) -> Content:
        body = envelope(delivery)
        return Content(body, "application/json", signature(delivery, body, now))

    def is_acknowledged(self, answer: bytes) -> bool:  # noqa: ARG002 - any 2xx does
        return True


class LegacyFormat:
    """Unsigned. An event that the legacy system did not have is sent as the nearest one that it had."""

    RELEASED = (EventType.ORDER_REFUNDED, EventType.ORDER_CANCELLED)

    def content(self, delivery: Delivery, now: datetime) -> Content:  # noqa: ARG002 - nothing depends on the attempt
        # Spring's consumers of a queue read a string, and expect a text type.
        content_type = "application/json" if delivery.kind == "http" else "text/plain"
        return Content(_compact(self._fields(delivery)), content_type, {})

    def _fields(self, delivery: Delivery) -> dict[str, Any]:
        data = json.loads(delivery.data)
        if delivery.type == EventType.TEAM_COMPLETED:
            return {"teamId": data["team_id"], "outTradeNoList": data["out_trade_nos"]}
        # Over a queue only: a notifyUrl takes any body for a completed team, and ships.
        if delivery.type in self.RELEASED and delivery.kind == "amqp":
            return {
                "type": self._kind(data.get("kind", RefundKind.UNPAID)),
                "userId": delivery.user_id,
                "teamId": data["team_id"],
                "orderId": delivery.order_id,
                "outTradeNo": data["out_trade_no"],
                "activityId": delivery.campaign_id,
            }
        raise UnsendableError(f"the legacy format has no {delivery.type} over {delivery.kind}")

    def _kind(self, kind: str) -> str:
        match kind:
            case RefundKind.UNPAID:
                return "unpaid_unlock"
            case RefundKind.UNSETTLED:
                return RefundKind.PAID_UNFORMED
        return kind

    def is_acknowledged(self, answer: bytes) -> bool:
        return answer.strip().strip(b'"') == b"success"


LEGACY: CallbackFormat = "original"
FORMATS: dict[str, Format] = {"standard": StandardFormat(), LEGACY: LegacyFormat()}


def envelope(delivery: Delivery) -> bytes:
    """Returns the body of Standard Webhooks: the same bytes at every attempt."""
    return _compact(
        {
            "type": delivery.type,
            "timestamp": rfc3339(delivery.occurred_at),
            "sequence": delivery.sequence,
            # A consumer of several malls' queues could not tell them apart: sequences are per mall.
            **({"source": delivery.source} if delivery.kind == "amqp" else {}),
            "data": json.loads(delivery.data),
        }
    )


def signature(delivery: Delivery, body: bytes, now: datetime) -> dict[str, str]:
    """Returns the headers of Standard Webhooks, signed with every valid secret.

    Raises:
        UnsendableError: the mall has no secret, or a malformed one.
    """
    secrets = delivery.secrets[:VALID_SECRETS]
    if not secrets:
        raise UnsendableError("the mall has no webhook secret to sign with")
    try:
        signatures = [Webhook(secret).sign(delivery.event_id, now, body.decode()) for secret in secrets]
    except (ValueError, RuntimeError):
        raise UnsendableError("a webhook secret of the mall is malformed") from None
    return {
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _compact(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
