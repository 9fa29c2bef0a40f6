"""The worker process: settings, connections, workers, and a stop that lets running work finish."""

import asyncio
import logging
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import uvloop
from pydantic import ValidationError
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import WorkerDeploymentConfig

import tracing
from activities.callbacks.deliver import AttemptCounter, CallbackActivities
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.amqp import AmqpSender
from activities.callbacks.senders.base import Sender
from activities.callbacks.senders.http import http_sender
from db.core.clock import TOLERATED, clock_offset
from db.core.connection import Database
from db.core.invariants import Horizons
from domain.retention import Retention
from domain.types import validation_message
from garbage import tune_collector
from logs import configure_logs, sdk_logging
from settings import Settings
from workers.dispatcher import WakeUpDispatcher
from workers.late_seats import LateSeats
from workers.namespace import NamespaceWatch
from workers.queues import Process, all_workers
from workers.versions import IncompleteVersion, deployment_of
from workflows.client import connect
from workflows.starters import probe, wake_team

log = logging.getLogger("groupbuy.worker")

TELL_WITHIN = timedelta(seconds=5)
PROBE_WITHIN = timedelta(seconds=2)
MEASURE_EVERY = timedelta(seconds=2)


async def run(settings: Settings, deployment: WorkerDeploymentConfig | None) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    runtime = runtime_of(settings)
    client = await connect(runtime=runtime, console_url=str(settings.console_url or "") or None, traced=tracing.is_on())
    on_statement = tracing.record_statement if tracing.is_on() else None
    database = Database(settings.database_url, size=settings.database_pool, on_statement=on_statement)
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
            callbacks = CallbackActivities(
                database, senders, retries, count=attempt_counter(runtime if settings.metrics_port else None)
            )
            process = Process(client, database, deployment=deployment)
            await parts.enter_async_context(
                all_workers(
                    process,
                    callbacks,
                    horizons=Horizons.of(settings.callback_give_up),
                    only=settings.task_queues or None,
                    retention=Retention(settings.retention_days, settings.retention_archive),
                )
            )
            offset = await clock_offset(database)
            if abs(offset) > TOLERATED:
                log.warning("PostgreSQL's clock is %.1f s ahead of this machine's", offset.total_seconds())
            namespace = NamespaceWatch(client, database)
            await namespace.look()
            await parts.enter_async_context(running(namespace.run))
            tell = partial(wake_team, client, local_activities=settings.local_activities, within=TELL_WITHIN)
            dispatcher = WakeUpDispatcher(database, tell, settings.wakeups_at_once, process.buyers.are_present)
            await parts.enter_async_context(running(dispatcher.run))
            late_seats = LateSeats(database, partial(probe, client, uuid.uuid4().hex, PROBE_WITHIN))
            await parts.enter_async_context(running(late_seats.run))
            if settings.metrics_port is not None:
                await parts.enter_async_context(running(partial(measure_pool, database, runtime)))
            tune_collector()
            print("ready", flush=True)  # noqa: T201 - the supervisor waits for this line
            await stop.wait()
    finally:
        await database.close()


def runtime_of(settings: Settings) -> Runtime:
    """Returns the SDK's runtime, which serves the metrics where they have a port."""
    metrics = None
    if settings.metrics_port is not None:
        metrics = PrometheusConfig(bind_address=metrics_address(settings.metrics_host, settings.metrics_port))
    return Runtime(telemetry=TelemetryConfig(logging=sdk_logging(as_json=settings.log_format == "json"), metrics=metrics))


def metrics_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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


async def measure_pool(database: Database, runtime: Runtime) -> None:
    """Keeps the gauges of this process's connections up to date, until cancelled."""
    meter = runtime.metric_meter
    connections = meter.create_gauge("groupbuy_database_connections", "Connections to PostgreSQL")
    waiting = meter.create_gauge("groupbuy_database_waiting", "Callers that wait for a connection to PostgreSQL")
    size = meter.create_gauge("groupbuy_database_connections_max", "Connections to PostgreSQL at most")
    while True:
        connections.set(database.in_use, {"pool": "worker"})
        waiting.set(database.waiting, {"pool": "worker"})
        size.set(database.size, {"pool": "worker"})
        await asyncio.sleep(MEASURE_EVERY.total_seconds())


def main() -> int:
    try:
        settings = Settings()  # from the environment
    except ValidationError as exc:
        for error in exc.errors():
            print(f"worker: GROUPBUY_{str(error['loc'][0]).upper()}: {validation_message(error['msg'])}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        deployment = deployment_of(os.environ)
    except IncompleteVersion as exc:
        print(f"worker: {exc}", file=sys.stderr)  # noqa: T201
        return 2
    configure_logs(settings.log_level, as_json=settings.log_format == "json")
    tracing.begin("groupbuy-worker")
    try:
        uvloop.run(run(settings, deployment))
    except RuntimeError as exc:
        print(f"worker: Temporal cannot be reached (TEMPORAL_ADDRESS): {exc}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        tracing.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
