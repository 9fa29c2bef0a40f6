"""The worker process: `python -m worker`. Settings, connection, workers, and a stop that lets running work finish."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import uvloop
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from activities.audiences import AudienceActivities
from activities.callbacks.deliver import AttemptCounter, CallbackActivities
from activities.callbacks.redeliver import RedeliveryActivities
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.amqp import AmqpSender
from activities.callbacks.senders.base import Sender
from activities.callbacks.senders.http import http_sender
from activities.campaigns import CampaignActivities
from activities.orders import OrderActivities
from activities.reconciliation import ReconciliationActivities
from activities.refunds import RefundActivities, RefundStartActivities
from activities.teams import TeamActivities
from db.core.connection import Database
from domain.types import validation_message
from settings import Settings
from workflows.audience_import import AudienceImportWorkflow
from workflows.campaign_shutdown import CampaignShutdownWorkflow
from workflows.client import connect
from workflows.payment import PaymentWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.redelivery import MassRedeliveryWorkflow, RedeliveryWorkflow, SampleWorkflow
from workflows.refund.workflow import RefundWorkflow
from workflows.starters import close_team, ensure_schedule, signal_refund, start_refund
from workflows.task_queues import CALLBACKS_QUEUE, MASS_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE
from workflows.team.workflow import TeamWorkflow

WORKFLOWS: list[type] = [
    TeamWorkflow,
    RefundWorkflow,
    PaymentWorkflow,
    RedeliveryWorkflow,
    MassRedeliveryWorkflow,
    SampleWorkflow,
    ReconciliationWorkflow,
    AudienceImportWorkflow,
    CampaignShutdownWorkflow,
]
GRACE = timedelta(seconds=5)
TEAMS_IN_MEMORY = 5000
WORKFLOW_THREADS = 2
"""Python runs one of them at a time; more of them only cost hand-overs"""
REFUND_THREADS = MASS_THREADS = 1
"""of their own: nobody's lock or refund queues behind the workflow tasks of a thousand refunds"""
CONCURRENT_REFUNDS, CONCURRENT_MASS = 4, 2
"""workflow tasks, and transactions, that run side by side: the CPU and the connections that are left are for locks and
payments"""
CONCURRENT_CALLBACKS = 2000
"""activities, which wait for malls most of their time; a mall that hangs has 20 of them, and 200 for 0.3 s each"""


def trade_worker(
    client: Client,
    database: Database,
    threads: ThreadPoolExecutor,
    task_queue: str = TRADE_QUEUE,
    runner: WorkflowRunner | None = None,
) -> Worker:
    """Runs the teams, and the transactions that malls wait for; `runner` None is the one without a sandbox."""
    orders, teams = OrderActivities(database), TeamActivities(database)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[TeamWorkflow, ReconciliationWorkflow],
        activities=[
            orders.lock_seat,
            orders.settle_payment,
            orders.release_overdue,
            teams.take_over,
            teams.conclude_team,
            teams.extend_team,
            ReconciliationActivities(database).find_overdue,
        ],
        # The sandbox costs a quarter of this process's CPU. The tests run and replay every workflow inside it.
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_cached_workflows=TEAMS_IN_MEMORY,
        # A fixed number of pollers leaves a tail of seconds under load.
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        # External storage is not used; above 1 the SDK makes a task of every payload all the same.
        max_workflow_task_external_storage_concurrency=1,
        workflow_task_executor=threads,
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
    )


def refund_worker(
    client: Client, database: Database, threads: ThreadPoolExecutor, runner: WorkflowRunner | None = None
) -> Worker:
    """Runs what somebody waits for beside locks and payments of a live team: refunds, and payments that lead to one."""
    starts = RefundStartActivities(database, partial(start_refund, client))
    return Worker(
        client,
        task_queue=REFUNDS_QUEUE,
        workflows=[RefundWorkflow, PaymentWorkflow],
        activities=[
            *refund_steps(database),
            OrderActivities(database).settle_payment,
            starts.start_refund,
            starts.start_refund_by_operator,
        ],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=CONCURRENT_REFUNDS,
        workflow_task_executor=threads,
        max_concurrent_local_activities=CONCURRENT_REFUNDS,
        max_concurrent_activities=CONCURRENT_REFUNDS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
    )


def mass_worker(
    client: Client, database: Database, threads: ThreadPoolExecutor, runner: WorkflowRunner | None = None
) -> Worker:
    """Runs what the platform does for many at once: a few side by side, and none of its activities holds a slot for long."""
    starts = RefundStartActivities(database, partial(start_refund, client, task_queue=MASS_QUEUE))
    audiences, campaigns = AudienceActivities(database), CampaignActivities(database, partial(close_team, client))
    return Worker(
        client,
        task_queue=MASS_QUEUE,
        workflows=[RefundWorkflow, AudienceImportWorkflow, CampaignShutdownWorkflow],
        activities=[
            *refund_steps(database),
            starts.start_team_refunds,
            starts.start_unattended_refunds,
            audiences.import_members,
            audiences.fail_import,
            audiences.clear_replaced_members,
            campaigns.begin_shutdown,
            campaigns.close_teams,
            campaigns.measure_shutdown,
        ],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=CONCURRENT_MASS,
        workflow_task_executor=threads,
        max_concurrent_local_activities=CONCURRENT_MASS,
        max_concurrent_activities=CONCURRENT_MASS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
    )


def refund_steps(database: Database) -> list[Callable[..., Any]]:
    """The activities of a refund's workflow, which run on the queue that it was started on."""
    refunds = RefundActivities(database)
    return [
        refunds.open_refund,
        refunds.answer_refund,
        refunds.release_refund,
        refunds.reject_refund,
        refunds.finish_refund,
        refunds.flag_refund,
        refunds.resume_refund,
    ]


def callback_worker(
    client: Client,
    database: Database,
    callbacks: CallbackActivities,
    threads: ThreadPoolExecutor,
    runner: WorkflowRunner | None = None,
) -> Worker:
    """Delivers callbacks, with slots of its own: a slow mall holds up nobody's lock."""
    redelivery = RedeliveryActivities(database, callbacks, partial(signal_refund, client, task_queue=MASS_QUEUE))
    return Worker(
        client,
        task_queue=CALLBACKS_QUEUE,
        workflows=[RedeliveryWorkflow, MassRedeliveryWorkflow, SampleWorkflow],
        activities=[callbacks.deliver, callbacks.revive_callbacks, callbacks.send_sample, redelivery.redeliver_next],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=20,
        workflow_task_executor=threads,
        max_concurrent_activities=CONCURRENT_CALLBACKS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
    )


@asynccontextmanager
async def all_workers(
    client: Client,
    database: Database,
    callbacks: CallbackActivities,
    task_queue: str = TRADE_QUEUE,
    runner: WorkflowRunner | None = None,
) -> AsyncIterator[None]:
    """Everything that a worker process does; `task_queue` is the teams'."""
    with (
        ThreadPoolExecutor(WORKFLOW_THREADS) as threads,
        ThreadPoolExecutor(REFUND_THREADS) as refund_threads,
        ThreadPoolExecutor(MASS_THREADS) as mass_threads,
    ):
        async with (
            trade_worker(client, database, threads, task_queue, runner),
            refund_worker(client, database, refund_threads, runner),
            mass_worker(client, database, mass_threads, runner),
            callback_worker(client, database, callbacks, threads, runner),
        ):
            yield


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
            await parts.enter_async_context(all_workers(client, database, callbacks))
            await ensure_schedule(client)
            # What was imported stays for good: the collector need not look at it again and again, nor look so often.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 50, 100)
            print("ready", flush=True)  # noqa: T201 - the supervisor waits for this line
            await stop.wait()
    finally:
        await database.close()


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
