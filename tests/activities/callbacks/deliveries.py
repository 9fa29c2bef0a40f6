"""Deliveries without a database."""

from datetime import UTC, datetime
from typing import Any

from db.callbacks.deliveries import Delivery
from domain.schemas.events import EventType

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECRET, OLDER_SECRET = "whsec_bmV3IHNlY3JldA==", "whsec_b2xkIHNlY3JldA=="


def delivery(address: str, **fields: Any) -> Delivery:  # noqa: ANN401
    """Returns the delivery of a completed team to a local mall."""
    defaults: dict[str, Any] = {
        "event_id": "evt_1",
        "kind": "http",
        "address": address,
        "format": "standard",
        "source": "s01",
        "type": EventType.TEAM_COMPLETED,
        "occurred_at": NOW,
        "sequence": 7,
        "data": '{"team_id": "t1", "campaign_id": 100123, "completion": "target", "out_trade_nos": ["n1", "n2"]}',
        "secrets": (SECRET,),
        "hosts": ("127.0.0.1", "localhost", "mall.test"),
        "routing_key_prefixes": ("own.", "nobody."),
        "local": True,
        "attempts": 0,
        "since": NOW,
        "next_attempt_at": NOW,
    }
    return Delivery(**defaults | fields)


REFUNDED: dict[str, Any] = {
    "type": EventType.ORDER_REFUNDED,
    "data": '{"out_trade_no": "n1", "team_id": "t1", "kind": "paid_formed", "amount": "80.00", "reason": "x"}',
    "order_id": "o1",
    "user_id": "u1",
    "campaign_id": 100123,
}
