"""Samples of events have the schema that the OpenAPI document shows."""

import pytest
from pydantic import TypeAdapter

from domain.schemas.events import (
    SAMPLES,
    EventType,
    OrderCancelledEvent,
    OrderRefundedEvent,
    OrderRefundRequestedEvent,
    OrderReseatedEvent,
    TeamCompletedEvent,
    TeamFailedEvent,
)

EVENT: TypeAdapter[object] = TypeAdapter(
    TeamCompletedEvent
    | TeamFailedEvent
    | OrderCancelledEvent
    | OrderReseatedEvent
    | OrderRefundRequestedEvent
    | OrderRefundedEvent
)


@pytest.mark.parametrize("event_type", EventType)
def test_a_sample_validates(event_type: EventType) -> None:
    EVENT.validate_python({"type": event_type, "timestamp": "2026-01-31T12:00:00Z", "sequence": 1, "data": SAMPLES[event_type]})
