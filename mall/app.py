"""Puts the mall together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from mall.amqp_receiver import AmqpReceiver
from mall.cashier import Cashier
from mall.config import Config
from mall.http_receiver import receiver
from mall.inbox import Inbox
from mall.page import page, require_own_host
from mall.platform import Platform, PlatformError
from mall.shop import Shop
from mall.store import Store
from mall.switches import Switches


def create_app(config: Config, switches: Switches) -> FastAPI:
    store = Store(config.state)
    inbox = Inbox(store, switches, config.slow_seconds)
    platform = Platform(str(config.api_url), config.key.get_secret_value())
    cashier = Cashier(platform, store)
    amqp_url = config.amqp_url.get_secret_value() if config.amqp_url else None
    amqp_receiver = AmqpReceiver(amqp_url, config.amqp_routing_key, config.webhooks, inbox, switches)
    shop = Shop(
        platform, cashier, store, switches, amqp_receiver, routing_key=config.amqp_routing_key, slow_seconds=config.slow_seconds
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await platform.open()
        work = [asyncio.create_task(cashier.run()), asyncio.create_task(amqp_receiver.run())]
        yield
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await platform.close()
        store.close()

    # Without /docs: its scripts come from a CDN, and the mall must work offline.
    app = FastAPI(
        title="Demo mall",
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(require_own_host)],
    )
    app.include_router(receiver(store, inbox, config.webhooks))
    app.include_router(page(shop, str(config.api_url).rstrip("/")))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.exception_handler(PlatformError)
    async def platform_error(_: Request, error: PlatformError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409)

    return app
