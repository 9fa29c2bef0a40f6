"""The callbacks of docs/callbacks.md as webhooks of the OpenAPI document."""

from typing import Annotated

from fastapi import APIRouter, Body, Header

from domain.schemas.events import (
    EventType,
    OrderCancelledEvent,
    OrderRefundedEvent,
    OrderRefundRequestedEvent,
    OrderReseatedEvent,
    TeamCompletedEvent,
    TeamFailedEvent,
)

MEANINGS = {
    TeamCompletedEvent: (EventType.TEAM_COMPLETED, "The team is complete: ship to these orders."),
    TeamFailedEvent: (EventType.TEAM_FAILED, "The team failed. For information: refund a buyer on `order.refunded` only."),
    OrderCancelledEvent: (EventType.ORDER_CANCELLED, "The order was cancelled unpaid, and its seat released."),
    OrderReseatedEvent: (EventType.ORDER_RESEATED, "A late payment took a free seat again."),
    OrderRefundRequestedEvent: (
        EventType.ORDER_REFUND_REQUESTED,
        'Asks to refund this member of a completed team. 2xx agrees; 409 with `{"code": "refund_rejected"}` refuses.',
    ),
    OrderRefundedEvent: (EventType.ORDER_REFUNDED, "The order was refunded: return this buyer's money."),
}

webhooks = APIRouter(tags=["webhooks"], generate_unique_id_function=lambda route: f"webhook_{route.name}")


def _declare(model: type, event_type: EventType, description: str) -> None:
    async def receive(
        event: Annotated[model, Body()],  # type: ignore[valid-type]
        webhook_id: Annotated[str, Header(description="the id of the event, the same in every attempt: deduplicate by it")],
        webhook_timestamp: Annotated[int, Header(description="time of this attempt, in seconds since 1970")],
        webhook_signature: Annotated[
            str, Header(description="Standard Webhooks 1.0: `v1,` and the HMAC-SHA256; one per valid secret during a rotation")
        ],
    ) -> None: ...

    webhooks.add_api_route(
        event_type, receive, methods=["POST"], name=event_type, summary=event_type, description=description, status_code=204
    )


for _model, (_type, _description) in MEANINGS.items():
    _declare(_model, _type, _description)
