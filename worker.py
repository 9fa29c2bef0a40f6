"""The worker process: `python -m worker`. Settings, connection, workers, and a stop that lets running work finish."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from functools import partial

import uvloop
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from activities.audiences import AudienceActivities
from activities.callbacks.deliver import AttemptCounter, CallbackActivities
from activities.callbacks.first_tries import FirstTries
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.amqp import AmqpSender
from activities.callbacks.senders.base import Sender
from activities.callbacks.senders.http import http_sender
from activities.campaigns import CampaignActivities
from activities.reconciliation import ReconciliationActivities
from activities.refunds import RefundActivities, RefundStartActivities
from activities.seats import SeatActivities
from activities.settlement import SettlementActivities
from db.core.connection import Database
from domain.types import validation_message
from settings import Settings
from workflows.audience_import import AudienceImportWorkflow
from workflows.campaign_shutdown import CampaignShutdownWorkflow
from workflows.client import connect
from workflows.reconciliation import ReconciliationWorkflow, ensure_schedule
from workflows.redelivery import RedeliveryWorkflow, SampleWorkflow
from workflows.refund import RefundWorkflow
from workflows.starters import RefundStarter, TeamCloser, hand_over
from workflows.task_queues import CALLBACKS_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE
from workflows.team.workflow import TeamWorkflow

WORKFLOWS: list[type] = [
    TeamWorkflow,
    RefundWorkflow,
    RedeliveryWorkflow,
    SampleWorkflow,
    ReconciliationWorkflow,
    AudienceImportWorkflow,
    CampaignShutdownWorkflow,
]
GRACE = timedelta(seconds=5)
TEAMS_IN_MEMORY = 5000
WORKFLOW_THREADS = 2
"""Python runs one at a time anyway; more of them cost hand-overs"""
REFUND_THREADS = 1
"""their own: a lock does not queue behind the workflow tasks of a thousand refunds"""
REFUNDS_AT_ONCE = 4
"""workflow tasks, and transactions, of refunds that run side by side: the CPU and the connections that are left are for locks
and settlements"""
CALLBACKS_AT_ONCE = 2000
"""activities, which wait for malls most of their time; a mall that hangs has 20 of them, and 200 for 0.3 s each"""


def trade_worker(
    client: Client,
    database: Database,
    first_tries: FirstTries,
    threads: ThreadPoolExecutor,
    task_queue: str = TRADE_QUEUE,
    runner: WorkflowRunner | None = None,
) -> Worker:
    """Runs the teams, and the transactions that malls wait for; `runner` None is the one without a sandbox."""
    seats, settlement = SeatActivities(database), SettlementActivities(database, first_tries)
    sweep = ReconciliationActivities(database)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[TeamWorkflow, ReconciliationWorkflow],
        activities=[
            seats.lock_seat,
            seats.release_overdue_seats,
            settlement.settle_payment,
            settlement.conclude_team,
            settlement.extend_team,
            sweep.find_leftovers,
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
    """Runs what a crowd may ask for at once, refunds, audiences, endings: only so many take a turn."""
    refunds, starts = RefundActivities(database), RefundStartActivities(database, RefundStarter(client))
    audiences = AudienceActivities(database)
    endings = CampaignActivities(database, TeamCloser(client), RefundStarter(client))
    return Worker(
        client,
        task_queue=REFUNDS_QUEUE,
        workflows=[RefundWorkflow, AudienceImportWorkflow, CampaignShutdownWorkflow],
        activities=[
            SettlementActivities(database).settle_payment,
            refunds.open_refund,
            refunds.answer_refund,
            refunds.release_refund,
            refunds.reject_refund,
            refunds.finish_refund,
            refunds.flag_refund,
            refunds.resume_refund,
            starts.start_refund,
            starts.start_team_refunds,
            starts.start_wished_refund,
            starts.start_left_refunds,
            audiences.fill_audience,
            audiences.fail_filling,
            audiences.clear_replaced_members,
            endings.begin_ending,
            endings.close_teams,
            endings.look_at_ending,
        ],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=REFUNDS_AT_ONCE,
        workflow_task_executor=threads,
        max_concurrent_local_activities=REFUNDS_AT_ONCE,
        max_concurrent_activities=REFUNDS_AT_ONCE,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
    )


def callback_worker(
    client: Client, callbacks: CallbackActivities, threads: ThreadPoolExecutor, runner: WorkflowRunner | None = None
) -> Worker:
    """Tells malls: slots of its own, so that a slow mall holds up nobody's lock."""
    return Worker(
        client,
        task_queue=CALLBACKS_QUEUE,
        workflows=[RedeliveryWorkflow, SampleWorkflow],
        activities=[callbacks.deliver, callbacks.revive_callbacks, callbacks.send_sample],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=20,
        workflow_task_executor=threads,
        max_concurrent_activities=CALLBACKS_AT_ONCE,
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
    with ThreadPoolExecutor(WORKFLOW_THREADS) as threads, ThreadPoolExecutor(REFUND_THREADS) as refund_threads:
        async with (
            aclosing(FirstTries(callbacks, partial(hand_over, client))) as first_tries,
            trade_worker(client, database, first_tries, threads, task_queue, runner),
            refund_worker(client, database, refund_threads, runner),
            callback_worker(client, callbacks, threads, runner),
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
    except ValidationError as mistake:
        for error in mistake.errors():
            print(f"worker: GROUPBUY_{str(error['loc'][0]).upper()}: {validation_message(error['msg'])}", file=sys.stderr)  # noqa: T201
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        uvloop.run(run(settings))
    except RuntimeError as failure:
        print(f"worker: Temporal cannot be reached (TEMPORAL_ADDRESS): {failure}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
