"""Receives callbacks over HTTP (Standard Webhooks 1.0): verifies, stores, and only then answers."""

import logging
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from mall.events import Event
from mall.inbox import Inbox
from mall.store import Callback, Order, Signature, Store
from mall.switches import Transport

MAX_BODY = 1024 * 1024  # bytes; a team of 1000 names its orders in about a tenth of this
VETO = {"code": "refund_rejected", "detail": "The demo mall was switched to veto refunds."}

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


def receiver(store: Store, inbox: Inbox, webhooks: Sequence[Webhook]) -> APIRouter:
    router = APIRouter()

    @router.post("/callbacks", response_model=Receipt)
    async def receive(request: Request) -> Receipt | JSONResponse:
        body = await _bounded(request)
        headers = dict(request.headers)
        if not any(_verified(webhook, body, headers) for webhook in webhooks):
            inbox.reject(Transport.HTTP, Signature.WRONG, "401")
            raise HTTPException(401, "wrong signature or timestamp")
        event_id = headers["webhook-id"]
        try:
            event = Event.model_validate_json(body)
        except ValidationError as error:
            log.warning("a signed callback that is no event: %s", error)
            inbox.reject(Transport.HTTP, Signature.GOOD, "422 no event", event_id)
            raise HTTPException(422, "the body is no event") from error
        if inbox.is_down:
            inbox.reject(Transport.HTTP, Signature.GOOD, "503 down, not taken", event_id, event)
            raise HTTPException(503, "switched to down")
        accepted = inbox.accept(event_id, event, Transport.HTTP, Signature.GOOD)
        if accepted.delayed:
            await inbox.delay()
        return JSONResponse(VETO, 409) if accepted.vetoed else Receipt(event_id=event_id, duplicate=accepted.duplicate)

    @router.get("/callbacks", response_model_exclude_unset=True)
    async def callbacks(team_id: TeamId = None, limit: Limit = 100) -> Callbacks:
        return Callbacks(data=store.callbacks(team_id, limit))

    @router.get("/orders")
    async def orders(team_id: TeamId = None, limit: Limit = 100) -> Orders:
        return Orders(data=store.orders(team_id, limit))

    return router


async def _bounded(request: Request) -> bytes:
    """Returns the body; reads at most MAX_BODY, whatever Content-Length claims."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"a callback has at most {MAX_BODY} bytes")
    return bytes(body)


def _verified(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: a malformed signature or body
        return False
    return True
