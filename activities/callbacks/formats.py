"""What a mall reads: our own bodies, as Standard Webhooks 1.0, and those of the original system (design.md section 10)."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from standardwebhooks import Webhook

from db.callbacks.deliveries import Delivery
from domain.lifecycle import RefundKind
from domain.schemas.events import EventType
from domain.types import rfc3339

SECRETS_IN_FORCE = 2
"""the newest, and the one before it, so that a mall can change to the new one"""


class UnsendableError(Exception):
    """This delivery has no body in its format, or no signature; the message says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Content:
    body: bytes
    content_type: str
    headers: dict[str, str]


class Format(Protocol):
    def content(self, delivery: Delivery, now: datetime) -> Content:
        """The body, which is the same at every attempt, and the headers of this one.

        Raises:
            UnsendableError: there is none.
        """

    def taken(self, answer: bytes) -> bool:
        """Whether this body of a 2xx answer says that the mall has it."""


class StandardFormat:
    def content(self, delivery: Delivery, now: datetime) -> Content:
        body = envelope(delivery)
        return Content(body, "application/json", signature(delivery, body, now))

    def taken(self, answer: bytes) -> bool:  # noqa: ARG002 - any 2xx
        return True


class LegacyFormat:
    """Unsigned, as the original's malls expect it. Kinds that it never had are told as the nearest that it had."""

    ENDS = (EventType.ORDER_REFUNDED, EventType.ORDER_CANCELLED)

    def content(self, delivery: Delivery, now: datetime) -> Content:  # noqa: ARG002 - nothing in it is of this attempt
        # Text for a queue: that is what its consumers, Spring's, read as a string.
        content_type = "application/json" if delivery.kind == "http" else "text/plain"
        return Content(_compact(self._fields(delivery)), content_type, {})

    def _fields(self, delivery: Delivery) -> dict[str, Any]:
        data = json.loads(delivery.data)
        if delivery.type == EventType.TEAM_COMPLETED:
            return {"teamId": data["team_id"], "outTradeNoList": data["out_trade_nos"]}
        # At a notifyUrl any body means "ship".
        if delivery.type in self.ENDS and delivery.kind == "amqp":
            return {
                "type": self._kind(data.get("kind", RefundKind.UNPAID)),
                "userId": delivery.user_id,
                "teamId": data["team_id"],
                "orderId": delivery.order_id,
                "outTradeNo": data["out_trade_no"],
                "activityId": delivery.campaign_id,
            }
        raise UnsendableError(f"the original's format has no {delivery.type} over {delivery.kind}")

    def _kind(self, kind: str) -> str:
        match kind:
            case RefundKind.UNPAID:
                return "unpaid_unlock"
            case RefundKind.UNSETTLED:
                return RefundKind.PAID_UNFORMED
        return kind

    def taken(self, answer: bytes) -> bool:
        return answer.strip().strip(b'"') == b"success"


FORMATS: dict[str, Format] = {"standard": StandardFormat(), "original": LegacyFormat()}


def envelope(delivery: Delivery) -> bytes:
    """The body that a mall receives; the same bytes at every attempt."""
    return _compact(
        {
            "type": delivery.type,
            "timestamp": rfc3339(delivery.occurred_at),
            "sequence": delivery.sequence,
            "data": json.loads(delivery.data),
        }
    )


def signature(delivery: Delivery, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks: signed with every secret that is in force.

    Raises:
        UnsendableError: the mall has no secret, or one that cannot be used.
    """
    secrets = delivery.secrets[:SECRETS_IN_FORCE]
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
