"""What malls and operators see of events and their deliveries."""

from typing import Any, Literal

from domain.schemas.events import EventType
from domain.types import Moment, Schema


class Event(Schema):
    """An event as the feed has it: the body of its callback, and the id that came in the header `webhook-id`."""

    event_id: str
    type: EventType
    timestamp: Moment
    sequence: int
    data: dict[str, Any]


class OpsCallback(Schema):
    """An event on its way to one address."""

    event_id: str
    source: str
    type: EventType
    team_id: str
    out_trade_no: str | None
    sequence: int | None
    occurred_at: Moment
    kind: Literal["http", "amqp"]
    address: str
    format: Literal["standard", "original"]
    status: Literal["pending", "delivered", "dead"]
    attempts: int
    since: Moment
    next_attempt_at: Moment
    finished_at: Moment | None
    last_attempt_at: Moment | None
    last_status: int | None
    last_error: str | None


class CallbackAttempt(Schema):
    kind: Literal["http", "amqp"]
    address: str
    format: Literal["standard", "original"]
    started_at: Moment
    duration_ms: int
    http_status: int | None
    error: str | None


class OpsCallbackAttempts(Schema):
    event_id: str
    data: dict[str, Any]
    deliveries: list[OpsCallback]
    attempts: list[CallbackAttempt]
    """all of them, the first one first, also those before it was sent again"""
