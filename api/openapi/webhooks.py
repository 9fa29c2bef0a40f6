"""The callbacks, as the OpenAPI document's webhooks (design.md section 9)."""

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
    TeamFailedEvent: (EventType.TEAM_FAILED, "The team failed. News: money goes back on `order.refunded` alone."),
    OrderCancelledEvent: (EventType.ORDER_CANCELLED, "The order ended unpaid, and its seat is free."),
    OrderReseatedEvent: (EventType.ORDER_RESEATED, "A late payment got its seat back."),
    OrderRefundRequestedEvent: (
        EventType.ORDER_REFUND_REQUESTED,
        'May this member of a completed team leave? 2xx agrees; 409 and `{"code": "refund_rejected"}` is the veto.',
    ),
    OrderRefundedEvent: (EventType.ORDER_REFUNDED, "A fact: return this buyer's money."),
}

webhooks = APIRouter(tags=["webhooks"], generate_unique_id_function=lambda route: f"webhook_{route.name}")


def _declare(model: type, event_type: EventType, description: str) -> None:
    async def receive(
        event: Annotated[model, Body()],  # type: ignore[valid-type]
        webhook_id: Annotated[str, Header(description="the event's id: the same at every attempt; dedupe by it")],
        webhook_timestamp: Annotated[int, Header(description="when it was sent, in seconds since 1970")],
        webhook_signature: Annotated[
            str, Header(description="Standard Webhooks 1.0: `v1,` and the HMAC-SHA256; several while secrets rotate")
        ],
    ) -> None: ...

    webhooks.add_api_route(
        event_type, receive, methods=["POST"], name=event_type, summary=event_type, description=description, status_code=204
    )


for _model, (_type, _description) in MEANINGS.items():
    _declare(_model, _type, _description)
