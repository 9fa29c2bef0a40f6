"""The public JSON of events and of their deliveries."""

from typing import Any, Literal

from domain.schemas.events import EventType
from domain.types import Moment, Schema


class Event(Schema):
    """An event in a mall's feed: the body of its callback, and the id that its header `webhook-id` has."""

    event_id: str
    type: EventType
    timestamp: Moment
    sequence: int
    data: dict[str, Any]


class OpsCallback(Schema):
    """The delivery of one event to one address."""

    event_id: str
    source: str
    type: EventType
    team_id: str
    out_trade_no: str | None
    """null: an event of the whole team"""
    sequence: int | None
    """null: not yet assigned"""
    occurred_at: Moment
    kind: Literal["http", "amqp"]
    address: str
    format: Literal["standard", "original"]
    status: Literal["pending", "delivered", "dead", "closed"]
    attempts: int
    """since the delivery was last made due"""
    since: Moment
    """when it was last made due"""
    next_attempt_at: Moment
    finished_at: Moment | None
    last_attempt_at: Moment | None
    last_status: int | None
    """HTTP status of the last answer"""
    last_error: str | None


class CallbackAttempt(Schema):
    """One attempt to deliver an event to an address."""

    kind: Literal["http", "amqp"]
    address: str
    format: Literal["standard", "original"]
    started_at: Moment
    duration_ms: int
    http_status: int | None
    error: str | None
    """null: delivered"""


class OpsCallbackAttempts(Schema):
    """An event with its deliveries and all their attempts."""

    event_id: str
    data: dict[str, Any]
    deliveries: list[OpsCallback]
    attempts: list[CallbackAttempt]
    """oldest first, including those before a redelivery"""
