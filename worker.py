"""The worker process: settings, connections, workers, and a stop that lets running work finish."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import uvloop
from pydantic import ValidationError
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.callbacks.deliver import AttemptCounter, CallbackActivities
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.amqp import AmqpSender
from activities.callbacks.senders.base import Sender
from activities.callbacks.senders.http import http_sender
from db.core.clock import TOLERATED, clock_offset
from db.core.connection import Database
from db.core.invariants import Horizons
from domain.types import validation_message
from settings import Settings
from workers.dispatcher import WakeUpDispatcher
from workers.namespace import NamespaceWatch
from workers.queues import all_workers
from workflows.client import connect
from workflows.starters import wake_team

log = logging.getLogger("groupbuy.worker")

TELL_WITHIN = timedelta(seconds=5)


async def run(settings: Settings) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    runtime = None
    if settings.metrics_port is not None:
        telemetry = TelemetryConfig(metrics=PrometheusConfig(bind_address=f"127.0.0.1:{settings.metrics_port}"))
        runtime = Runtime(telemetry=telemetry)
    client = await connect(runtime=runtime)
    database = Database(settings.database_url, size=settings.database_pool)
    retries = RetrySchedule(
        first_delay=timedelta(seconds=settings.callback_first_delay),
        max_delay=timedelta(seconds=settings.callback_max_delay),
        give_up_after=timedelta(seconds=settings.callback_give_up),
    )
    try:
        async with AsyncExitStack() as parts:
            http = await parts.enter_async_context(http_sender(settings.callback_timeout))
            broker = settings.amqp_url.get_secret_value() if settings.amqp_url else None
            amqp = await parts.enter_async_context(aclosing(AmqpSender(broker, settings.callback_timeout)))
            senders: dict[str, Sender] = {"http": http, "amqp": amqp}
            callbacks = CallbackActivities(database, senders, retries, count=attempt_counter(runtime))
            await parts.enter_async_context(
                all_workers(client, database, callbacks, horizons=Horizons.of(settings.callback_give_up))
            )
            offset = await clock_offset(database)
            if abs(offset) > TOLERATED:
                log.warning("PostgreSQL's clock is %.1f s ahead of this machine's", offset.total_seconds())
            namespace = NamespaceWatch(client, database)
            await namespace.look()
            await parts.enter_async_context(running(namespace.run))
            tell = partial(wake_team, client, local_activities=settings.local_activities, within=TELL_WITHIN)
            dispatcher = WakeUpDispatcher(database, tell, settings.wakeups_at_once)
            await parts.enter_async_context(running(dispatcher.run))
            # What was imported stays for good: the collector need not look at it again and again, nor look so often.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 50, 100)
            print("ready", flush=True)  # noqa: T201 - the supervisor waits for this line
            await stop.wait()
    finally:
        await database.close()


@asynccontextmanager
async def running(run: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs a background task while the block runs."""
    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def attempt_counter(runtime: Runtime | None) -> AttemptCounter:
    """Counts attempts where the SDK's own metrics are read."""
    if runtime is None:
        return lambda _kind, _outcome: None
    counter = runtime.metric_meter.create_counter("groupbuy_callback_attempts_total", "Callback attempts")
    return lambda kind, outcome: counter.add(1, {"kind": kind, "outcome": outcome})


def main() -> int:
    try:
        settings = Settings()  # from the environment
    except ValidationError as exc:
        for error in exc.errors():
            print(f"worker: GROUPBUY_{str(error['loc'][0]).upper()}: {validation_message(error['msg'])}", file=sys.stderr)  # noqa: T201
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        uvloop.run(run(settings))
    except RuntimeError as exc:
        print(f"worker: Temporal cannot be reached (TEMPORAL_ADDRESS): {exc}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
