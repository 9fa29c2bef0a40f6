"""Puts the mall together: the receiver and the page today, each a part that knows only the store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from mall.config import Config
from mall.page import page
from mall.receiver import TeamId, receiver
from mall.store import Store

_SHOWN = 100  # rows of each table on the page

# Everything on the page is in the page: a callback's text can load and run nothing.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
}


def create_app(config: Config) -> FastAPI:
    store = Store(config.state)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    # No /docs: its scripts come from a CDN, and the mall must work without a network.
    app = FastAPI(title="Demo mall", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(receiver(store, config.webhooks))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/", response_class=HTMLResponse)
    async def home(team_id: TeamId = None) -> HTMLResponse:
        html = page(store.callbacks(team_id, _SHOWN), store.orders(team_id, _SHOWN), team_id, str(config.api_url))
        return HTMLResponse(html, headers=_PAGE_HEADERS)

    return app
