"""What a process of the API is made of: connections, services and caches, created once."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from fastapi import FastAPI
from temporalio.client import Client

from api.runtime.api_keys import ApiKeys
from api.runtime.cache import Cache
from api.runtime.metrics import CallbackBacklogMetrics
from api.runtime.rate_limit import RateLimiter
from api.runtime.statistics import StatisticsCache
from api.runtime.workflow_links import WorkflowLinks
from api.services.callbacks import CallbackService
from api.services.orders import OrderService
from api.services.refunds import RefundService
from db.core.connection import Database
from db.core.listen import COUNTED
from db.settings.switches import read_switches
from domain.switches import Switches
from settings import Settings
from workflows.client import connect

log = logging.getLogger("groupbuy.api")

LAST_NOTE_WITHIN = 1.0


@dataclass(slots=True)
class Container:
    database: Database
    client: Client
    links: WorkflowLinks
    trading: OrderService
    refunding: RefundService
    counting: StatisticsCache
    resending: CallbackService
    backlog: CallbackBacklogMetrics
    settings: Settings
    remembered: Cache
    keys: ApiKeys
    rates: RateLimiter

    async def switches(self) -> Switches:
        """The switches as they are now."""
        return await self.remembered.recall("switches", lambda: read_switches(self.database), lambda _: ["switch"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings()
    database = Database(settings.database_url, size=settings.database_pool)
    client = await connect()
    counting = StatisticsCache(database)
    rates = RateLimiter(database)
    remembered = Cache(settings.database_url, {COUNTED: rates.hear})
    keys = ApiKeys(database, remembered)
    refunding = RefundService(database, client, settings)
    app.state.container = Container(
        database=database,
        client=client,
        links=WorkflowLinks(settings.temporal_ui_url, client.namespace),
        trading=OrderService(database, client, settings),
        refunding=refunding,
        counting=counting,
        resending=CallbackService(database, client, refunding, settings),
        backlog=CallbackBacklogMetrics(database),
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
