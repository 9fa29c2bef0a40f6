"""The parts of an API process: connections, services and caches, created once."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from fastapi import FastAPI
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig

import tracing
from api.runtime.admission import AdmissionControl
from api.runtime.api_keys import ApiKeys
from api.runtime.cache import Cache
from api.runtime.metrics import DatabaseMetrics
from api.runtime.quote_counts import QuoteCounts
from api.runtime.rate_limit import RateLimiter
from api.runtime.statistics import StatisticsCache
from api.runtime.turns import Turn, Turns
from api.runtime.workflow_links import WorkflowLinks
from api.services.admission import TradeAdmission
from api.services.audiences import AudienceService
from api.services.callbacks import CallbackService
from api.services.campaigns import CampaignService
from api.services.exports import ExportService
from api.services.orders import OrderService
from api.services.parts import PartsService
from api.services.payloads import PayloadService
from api.services.quotes import QuoteService
from api.services.refunds import RefundService
from api.services.teams import TeamService
from api.services.workflow_runs import WorkflowRuns
from db.core.connection import Database
from db.core.listen import REQUEST_COUNTS
from garbage import tune_collector
from logs import sdk_logging
from settings import Settings
from workflows.client import connect
from workflows.starters import probe

log = logging.getLogger("groupbuy.api")

FINAL_RECORD_TIMEOUT = 1.0
REQUESTS_AT_ONCE = 32
"""quotes, locks and payments; twice the connections, so that none of these is idle while others wait"""
QUOTE_PATIENCE = 1.0
FIRST_INTERVALS = {"auto": 0.002, "orchestrated": 0.012}
"""seconds between two answers when a crowd begins: those of PostgreSQL, and of an engine with its store on two cores"""
PATIENCE: dict[str, tuple[float, float]] = {"auto": (0.95, 0.9), "orchestrated": (0.8, 0.7)}
"""shares of the time for an answer that payments and locks may wait: an engine takes a part of it, and not always the same"""
TRADE_WITHIN = timedelta(seconds=3)
PROBE_WITHIN = timedelta(seconds=1)
COUNT_WITHIN = timedelta(seconds=2)
"""a statement of the metrics"""


@dataclass(slots=True)
class Container:
    settings: Settings
    database: Database
    trades: Database
    """connections of direct trades"""
    client: Client
    cache: Cache
    api_keys: ApiKeys
    rate_limiter: RateLimiter
    metrics: DatabaseMetrics
    links: WorkflowLinks
    admission: AdmissionControl
    turns: Turns
    orders: OrderService
    teams: TeamService
    refunds: RefundService
    quotes: QuoteService
    callbacks: CallbackService
    audiences: AudienceService
    exports: ExportService
    campaigns: CampaignService
    payloads: PayloadService
    parts: PartsService
    runs: WorkflowRuns


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings()
    half = max(settings.database_pool // 2, 1)
    on_statement = tracing.record_statement if tracing.is_on() else None
    database = Database(settings.database_url, size=half, on_statement=on_statement)
    # Direct trades have connections of their own, and never wait behind a page of an operator, or hold one up.
    trades = Database(settings.database_url, size=half, statement_within=TRADE_WITHIN, on_statement=on_statement)
    counts = Database(settings.database_url, size=1, statement_within=COUNT_WITHIN)
    runtime = Runtime(telemetry=TelemetryConfig(logging=sdk_logging(as_json=settings.log_format == "json")))
    # It starts, and restarts, also while Temporal is away.
    console_url = str(settings.console_url or "") or None
    client = await connect(lazy=True, runtime=runtime, console_url=console_url, traced=tracing.is_on())
    asks = partial(probe, client, uuid.uuid4().hex, PROBE_WITHIN)
    turns = _turns(settings)
    admission = AdmissionControl(settings.orchestrated_at_once, settings.orchestrated_within, asks, turns.are_awaited)
    rate_limiter = RateLimiter(database)
    cache = Cache(settings.database_url, {REQUEST_COUNTS: rate_limiter.receive_counts})
    api_keys = ApiKeys(database, cache, settings.key_failure_limit)
    quote_counts = QuoteCounts(database)
    refunds = RefundService(database, client, settings)
    app.state.container = Container(
        settings=settings,
        database=database,
        trades=trades,
        client=client,
        cache=cache,
        api_keys=api_keys,
        rate_limiter=rate_limiter,
        metrics=DatabaseMetrics(counts),
        links=WorkflowLinks(settings.temporal_ui_url, client.namespace),
        admission=admission,
        turns=turns,
        orders=OrderService(database, client, TradeAdmission(trades, admission, settings), turns, settings),
        teams=TeamService(database, client, settings),
        refunds=refunds,
        quotes=QuoteService(database, cache, StatisticsCache(database), turns, quote_counts),
        callbacks=CallbackService(database, client, refunds, settings),
        audiences=AudienceService(database, client, answer_within=settings.answer_within),
        exports=ExportService(database, client, answer_within=settings.answer_within),
        campaigns=CampaignService(database, client, settings),
        payloads=PayloadService(client),
        parts=PartsService(database, client, settings.amqp_url),
        runs=WorkflowRuns(client, admission),
    )
    background = [
        asyncio.create_task(_run_forever(run))
        for run in (cache.notices.run, api_keys.run, rate_limiter.run, admission.run, quote_counts.run)
    ]
    tune_collector()
    try:
        yield
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(FINAL_RECORD_TIMEOUT):
                await api_keys.record_uses(timedelta())
                await quote_counts.write()
        await database.close()
        await trades.close()
        await counts.close()
        await asyncio.to_thread(tracing.end)


def _turns(settings: Settings) -> Turns:
    within, (payment, lock) = settings.answer_within, PATIENCE[settings.admission]
    patience = {Turn.PAYMENT: payment * within, Turn.LOCK: lock * within, Turn.QUOTE: QUOTE_PATIENCE}
    return Turns(REQUESTS_AT_ONCE, patience, FIRST_INTERVALS[settings.admission])


async def _run_forever(run: Callable[[], Awaitable[None]]) -> None:
    """Runs a background task until cancelled, and again after an unexpected error."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("a background task failed, and is started again")
        await asyncio.sleep(1)
