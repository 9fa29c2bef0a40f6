"""Receives callbacks (Standard Webhooks 1.0): verified, stored once, and only then answered."""

import logging
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from mall.events import Event
from mall.store import Callback, Order, Store

MAX_BODY = 1024 * 1024  # a team of 1000 names its orders in about a tenth of this

log = logging.getLogger(__name__)

TeamId = Annotated[str | None, Query(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=1000)]


class Receipt(BaseModel):
    event_id: str
    duplicate: bool


class Callbacks(BaseModel):
    data: list[Callback]


class Orders(BaseModel):
    data: list[Order]


def receiver(store: Store, webhooks: Sequence[Webhook]) -> APIRouter:
    router = APIRouter()

    @router.post("/callbacks")
    async def receive(request: Request) -> Receipt:
        body = await _bounded(request)
        headers = dict(request.headers)
        if not any(_verified(webhook, body, headers) for webhook in webhooks):
            raise HTTPException(401, "wrong signature or timestamp")
        try:
            event = Event.model_validate_json(body)
        except ValidationError as error:
            log.warning("a signed callback that is no event: %s", error)
            raise HTTPException(422, "the body is no event") from error
        event_id = headers["webhook-id"]
        times_received = store.record(event_id, event)
        log.info("%s #%d %s, received %d×", event.type, event.sequence, event_id, times_received)
        return Receipt(event_id=event_id, duplicate=times_received > 1)

    @router.get("/callbacks", response_model_exclude_unset=True)
    async def callbacks(team_id: TeamId = None, limit: Limit = 100) -> Callbacks:
        return Callbacks(data=store.callbacks(team_id, limit))

    @router.get("/orders")
    async def orders(team_id: TeamId = None, limit: Limit = 100) -> Orders:
        return Orders(data=store.orders(team_id, limit))

    return router


async def _bounded(request: Request) -> bytes:
    """The body, read no further than the limit, whatever Content-Length claims."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"a callback has at most {MAX_BODY} bytes")
    return bytes(body)


def _verified(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (
        WebhookVerificationError,
        ValueError,
    ):  # ValueError: what the package makes of a malformed signature or body
        return False
    return True
