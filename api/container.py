"""The parts of an API process: connections, services and caches, created once."""

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
from api.services.audiences import AudienceService
from api.services.callbacks import CallbackService
from api.services.campaigns import CampaignService
from api.services.orders import OrderService
from api.services.quotes import QuoteService
from api.services.refunds import RefundService
from api.services.teams import TeamService
from db.core.connection import Database
from db.core.listen import REQUEST_COUNTS
from settings import Settings
from workflows.client import connect

log = logging.getLogger("groupbuy.api")

FINAL_RECORD_TIMEOUT = 1.0


@dataclass(slots=True)
class Container:
    settings: Settings
    database: Database
    client: Client
    cache: Cache
    api_keys: ApiKeys
    rate_limiter: RateLimiter
    callback_backlog: CallbackBacklogMetrics
    links: WorkflowLinks
    orders: OrderService
    teams: TeamService
    refunds: RefundService
    quotes: QuoteService
    callbacks: CallbackService
    audiences: AudienceService
    campaigns: CampaignService


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings()
    database = Database(settings.database_url, size=settings.database_pool)
    client = await connect()
    rate_limiter = RateLimiter(database)
    cache = Cache(settings.database_url, {REQUEST_COUNTS: rate_limiter.receive_counts})
    api_keys = ApiKeys(database, cache, settings.key_failure_limit)
    refunds = RefundService(database, client, settings)
    app.state.container = Container(
        settings=settings,
        database=database,
        client=client,
        cache=cache,
        api_keys=api_keys,
        rate_limiter=rate_limiter,
        callback_backlog=CallbackBacklogMetrics(database),
        links=WorkflowLinks(settings.temporal_ui_url, client.namespace),
        orders=OrderService(database, client, settings),
        teams=TeamService(database, client, settings),
        refunds=refunds,
        quotes=QuoteService(database, cache, StatisticsCache(database)),
        callbacks=CallbackService(database, client, refunds, settings),
        audiences=AudienceService(database, client, answer_within=settings.answer_within),
        campaigns=CampaignService(database, client, settings),
    )
    background = [asyncio.create_task(_run_forever(run)) for run in (cache.notices.run, api_keys.run, rate_limiter.run)]
    # Imported modules stay for good: frozen, they are not scanned, and collections are rarer.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    try:
        yield
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(FINAL_RECORD_TIMEOUT):
                await api_keys.record_uses(timedelta())
        await database.close()


async def _run_forever(run: Callable[[], Awaitable[None]]) -> None:
    """Runs a background task until cancelled, and again after an unexpected error."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("a background task failed, and is started again")
        await asyncio.sleep(1)
