"""What the routes need: connections and settings, made once per process."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase
from temporalio.client import Client

from api.access import Access, Keys
from api.backlog import BacklogMetrics
from api.counting import Counting
from api.limits import Rates
from api.middleware import EXTRA_HEADERS
from api.queries import require_known_query
from api.refunding import Refunding
from api.remembered import Remembered
from api.resending import Resending
from api.trading import Trading
from db.access import MallAccess, OpsAccess
from db.connection import Database
from db.notices import COUNTED
from db.switches import read_switches
from db.views import History
from domain.access import Scope
from domain.errors import ErrorCode, Refusal
from domain.switches import Switches
from settings import Settings
from workflows.client import connect

log = logging.getLogger("groupbuy.api")

LAST_NOTE_WITHIN = 1.0


@dataclass(slots=True)
class Platform:
    database: Database
    client: Client
    history: History
    trading: Trading
    refunding: Refunding
    counting: Counting
    resending: Resending
    backlog: BacklogMetrics
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
    database = Database(settings.database_url, size=settings.database_pool)
    client = await connect()
    base = f"{str(settings.temporal_ui_url).rstrip('/')}/namespaces/{client.namespace}/workflows/"
    history = History(base if settings.temporal_ui_url else "")
    counting = Counting(database)
    rates = Rates(database)
    remembered = Remembered(settings.database_url, {COUNTED: rates.hear})
    keys = Keys(database, remembered)
    refunding = Refunding(database, client, history, settings)
    app.state.platform = Platform(
        database=database,
        client=client,
        history=history,
        trading=Trading(database, client, history, settings, counting),
        refunding=refunding,
        counting=counting,
        resending=Resending(database, client, refunding, settings),
        backlog=BacklogMetrics(database),
        settings=settings,
        remembered=remembered,
        keys=keys,
        rates=rates,
    )
    beside = [asyncio.create_task(_kept_running(run)) for run in (remembered.notices.run, keys.run, rates.run)]
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
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_NOTE_WITHIN):
                await keys.note(timedelta())
        await database.close()


async def _kept_running(run: Callable[[], Awaitable[None]]) -> None:
    """What runs beside the requests, until it is cancelled."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("a defect beside the requests")
        await asyncio.sleep(1)


async def platform(request: Request) -> Platform:  # async: FastAPI would run it in a thread
    found: Platform = request.app.state.platform
    return found


PlatformDep = Annotated[Platform, Depends(platform)]


class _Key(SecurityBase):
    """Who asks, by the key that the request carries. One dependency does it all, and declares itself in OpenAPI.

    It looks at the query, too: that is cheaper than a dependency of its own.
    """

    model = HTTPBearerModel(description="A key of a mall or, for /v1/ops, of operations.")
    scheme_name = "key"

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def _access(self, request: Request) -> Access:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        found = await request.app.state.platform.keys.access(key.strip()) if scheme.lower() == "bearer" and key else None
        if found is None:
            raise Refusal(ErrorCode.UNAUTHORIZED, "Send a key that is known: Authorization: Bearer <key>.")
        access: Access = found
        return access


class _MallKey(_Key):
    """A mall's key with the scope; what is no GET needs trade as a rule."""

    async def __call__(self, request: Request) -> MallAccess:
        access = await self._access(request)
        if not isinstance(access, MallAccess):
            raise Refusal(ErrorCode.FORBIDDEN, "This is for the key of a mall.")
        taken = request.app.state.platform.rates.take(access.source, access.request_limit)
        request.scope[EXTRA_HEADERS] = taken.headers
        if not taken.allowed:
            detail = f"{access.source} may send {access.request_limit} requests a second."
            raise Refusal(ErrorCode.RATE_LIMITED, detail, retry_after=1)
        _require(access, Scope.READ if request.method == "GET" else self._scope)
        require_known_query(request)
        return access


class _OpsKey(_Key):
    """A key of operations with the scope."""

    async def __call__(self, request: Request) -> OpsAccess:
        access = await self._access(request)
        if not isinstance(access, OpsAccess):
            raise Refusal(ErrorCode.FORBIDDEN, f"This is for a key of operations with the scope {self._scope}.")
        _require(access, self._scope)
        require_known_query(request)
        return access


def _require(access: Access, scope: Scope) -> None:
    if scope not in access.scopes:
        raise Refusal(ErrorCode.FORBIDDEN, f"This needs a key with the scope {scope}.")


MallDep = Annotated[MallAccess, Depends(_MallKey(Scope.TRADE))]
"""May read with GET, and trade with what is no GET."""
ReadingMallDep = Annotated[MallAccess, Depends(_MallKey(Scope.READ))]
"""May read, whatever the method."""
OpsDep = Annotated[OpsAccess, Depends(_OpsKey(Scope.OPS))]
AdminDep = Annotated[OpsAccess, Depends(_OpsKey(Scope.ADMIN))]
