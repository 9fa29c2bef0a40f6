"""What the routes need: connections and settings, made once per process."""

import gc
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from temporalio.client import Client

from api.backlog import BacklogMetrics
from api.refunding import Refunding
from api.resending import Resending
from api.trading import Trading
from db.access import MallAccess, OpsAccess, read_access
from db.connection import Database, open_database
from db.views import History
from domain.errors import ErrorCode, Refusal
from settings import Settings
from workflows.client import connect

log = logging.getLogger("groupbuy.api")

KEY_KNOWN_FOR = 1.0
KEYS_KNOWN = 10_000

Access = MallAccess | OpsAccess


@dataclass(slots=True)
class Platform:
    database: Database
    client: Client
    history: History
    trading: Trading
    refunding: Refunding
    resending: Resending
    backlog: BacklogMetrics
    settings: Settings
    _access: dict[str, tuple[float, Access]] = field(default_factory=dict)

    async def access(self, key: str) -> Access | None:
        """Who holds this key; an answer from the database is good for a second."""
        known = self._access.get(key)
        now = time.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        found = await read_access(self.database, key)
        if found is not None:
            if len(self._access) >= KEYS_KNOWN:
                self._access.clear()
            self._access[key] = (now + KEY_KNOWN_FOR, found)
        return found


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings()
    database = await open_database(settings.database_url, pool_size=settings.database_pool)
    client = await connect()
    base = f"{str(settings.temporal_ui_url).rstrip('/')}/namespaces/{client.namespace}/workflows/"
    history = History(base if settings.temporal_ui_url else "")
    refunding = Refunding(database, client, history, settings)
    app.state.platform = Platform(
        database=database,
        client=client,
        history=history,
        trading=Trading(database, client, history, settings),
        refunding=refunding,
        resending=Resending(database, client, refunding, settings),
        backlog=BacklogMetrics(database),
        settings=settings,
    )
    # What was imported stays for good: the collector need not look at it again and again, nor look so often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    try:
        yield
    finally:
        await database.close()


async def platform(request: Request) -> Platform:  # async: FastAPI would run it in a thread
    found: Platform = request.app.state.platform
    return found


PlatformDep = Annotated[Platform, Depends(platform)]


async def _access(request: Request) -> Access:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    found = await platform(request)
    access = await found.access(key.strip()) if scheme.lower() == "bearer" and key else None
    if access is None:
        raise Refusal(ErrorCode.UNAUTHORIZED, "Send a key that is known: Authorization: Bearer <key>.")
    return access


async def _mall(request: Request) -> MallAccess:
    access = await _access(request)
    if not isinstance(access, MallAccess):
        raise Refusal(ErrorCode.FORBIDDEN, "This is for the key of a mall.")
    return access


async def _ops(request: Request) -> OpsAccess:
    access = await _access(request)
    if not isinstance(access, OpsAccess):
        raise Refusal(ErrorCode.FORBIDDEN, "This is for a key of operations.")
    return access


MallDep = Annotated[MallAccess, Depends(_mall)]
OpsDep = Annotated[OpsAccess, Depends(_ops)]
