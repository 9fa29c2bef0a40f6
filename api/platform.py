"""What the routes need: connections and settings, made once per process."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Security
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase
from temporalio.client import Client

from api.access import Access, Keys
from api.limits import Rates
from api.middleware import EXTRA_HEADERS, READING
from api.refunding import Refunding
from api.remembered import Remembered
from api.trading import Trading
from db.access import MallAccess, OpsAccess
from db.connection import Database, open_database
from db.notices import COUNTED
from db.switches import read_switches
from db.views import History
from domain.access import Scope
from domain.errors import ErrorCode, Refusal
from domain.switches import Switches
from settings import Settings
from workflows.client import connect

log = logging.getLogger("groupbuy.api")


@dataclass(slots=True)
class Platform:
    database: Database
    client: Client
    history: History
    trading: Trading
    refunding: Refunding
    settings: Settings
    remembered: Remembered
    keys: Keys
    rates: Rates

    async def switches(self) -> Switches:
        """The switches as they are now."""
        return await self.remembered.recall("switches", lambda: read_switches(self.database), lambda _: ["switch"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings()
    database = await open_database(settings.database_url, pool_size=settings.database_pool)
    client = await connect()
    base = f"{str(settings.temporal_ui_url).rstrip('/')}/namespaces/{client.namespace}/workflows/"
    history = History(base if settings.temporal_ui_url else "")
    rates = Rates(database)
    remembered = Remembered(settings.database_url, {COUNTED: rates.hear})
    keys = Keys(database, remembered)
    app.state.platform = Platform(
        database=database,
        client=client,
        history=history,
        trading=Trading(database, client, history, settings),
        refunding=Refunding(database, client, history, settings),
        settings=settings,
        remembered=remembered,
        keys=keys,
        rates=rates,
    )
    beside = [asyncio.create_task(run()) for run in (remembered.notices.run, keys.run, rates.run)]
    # What was imported stays for good: the collector need not look at it again and again, nor look so often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await keys.note(timedelta())
        await database.close()


async def platform(request: Request) -> Platform:  # async: FastAPI would run it in a thread
    found: Platform = request.app.state.platform
    return found


PlatformDep = Annotated[Platform, Depends(platform)]


class _Bearer(SecurityBase):
    """Who asks, by the key that the request carries; declares it in OpenAPI, too."""

    scheme_name = "key"

    def __init__(self, description: str) -> None:
        self.model = HTTPBearerModel(description=description)

    async def __call__(self, request: Request) -> Access:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        found = await request.app.state.platform.keys.access(key.strip()) if scheme.lower() == "bearer" and key else None
        if found is None:
            raise Refusal(ErrorCode.UNAUTHORIZED, "Send a key that is known: Authorization: Bearer <key>.")
        access: Access = found
        return access


AccessDep = Annotated[Access, Security(_Bearer("A key of a mall or, for /v1/ops, of operations."))]


def _of_mall(request: Request, access: Access, scope: Scope) -> MallAccess:
    if not isinstance(access, MallAccess):
        raise Refusal(ErrorCode.FORBIDDEN, "This is for the key of a mall.")
    taken = request.app.state.platform.rates.take(access.source, access.request_limit)
    request.scope[EXTRA_HEADERS] = taken.headers
    if not taken.allowed:
        detail = f"{access.source} may send {access.request_limit} requests a second."
        raise Refusal(ErrorCode.RATE_LIMITED, detail, retry_after=1)
    _require(access, scope)
    return access


def _of_operations(access: Access, scope: Scope) -> OpsAccess:
    if not isinstance(access, OpsAccess):
        raise Refusal(ErrorCode.FORBIDDEN, f"This is for a key of operations with the scope {scope}.")
    _require(access, scope)
    return access


def _require(access: Access, scope: Scope) -> None:
    if scope not in access.scopes:
        raise Refusal(ErrorCode.FORBIDDEN, f"This needs a key with the scope {scope}.")


async def _mall(request: Request, access: AccessDep) -> MallAccess:
    return _of_mall(request, access, Scope.READ if request.method in READING else Scope.TRADE)


async def _reading_mall(request: Request, access: AccessDep) -> MallAccess:
    return _of_mall(request, access, Scope.READ)


async def _operator(access: AccessDep) -> OpsAccess:
    return _of_operations(access, Scope.OPS)


async def _administrator(access: AccessDep) -> OpsAccess:
    return _of_operations(access, Scope.ADMIN)


MallDep = Annotated[MallAccess, Depends(_mall)]
"""May read with GET, and trade with what is no GET."""
ReadingMallDep = Annotated[MallAccess, Depends(_reading_mall)]
"""May read, whatever the method."""
OpsDep = Annotated[OpsAccess, Depends(_operator)]
AdminDep = Annotated[OpsAccess, Depends(_administrator)]
