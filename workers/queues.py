"""The workers of a process, one for each task queue."""

from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypedDict, Unpack

from temporalio.client import Client
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)

from activities.audiences import AudienceActivities
from activities.callbacks.deliver import CallbackActivities
from activities.callbacks.redeliver import RedeliveryActivities
from activities.campaigns import CampaignActivities
from activities.exports import ExportActivities
from activities.orders import OrderActivities
from activities.reconciliation import ReconciliationActivities
from activities.refunds import RefundActivities, RefundStartActivities
from activities.retention import RetentionActivities
from activities.statistics import StatisticsActivities
from activities.teams import TeamActivities
from db.core.connection import Database
from db.core.invariants import Horizons
from domain.retention import Retention
from workers.buyers import Buyers, NotesBuyers
from workflows.audience_import import AudienceImportWorkflow
from workflows.campaign_shutdown import CampaignShutdownWorkflow
from workflows.ends import how_team_ended
from workflows.export import ExportWorkflow
from workflows.payment import PaymentWorkflow
from workflows.probe import ProbeWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.redelivery import MassRedeliveryWorkflow, RedeliveryWorkflow, SampleWorkflow
from workflows.refund.workflow import RefundWorkflow
from workflows.retention import RetentionWorkflow
from workflows.starters import close_team, restart_refund, signal_refund, start_refund
from workflows.statistics import StatisticsWorkflow
from workflows.task_queues import CALLBACKS_QUEUE, MASS_QUEUE, RECONCILIATION_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE
from workflows.team.workflow import TeamWorkflow

WORKFLOWS: list[type] = [
    TeamWorkflow,
    ProbeWorkflow,
    RefundWorkflow,
    PaymentWorkflow,
    RedeliveryWorkflow,
    MassRedeliveryWorkflow,
    SampleWorkflow,
    ReconciliationWorkflow,
    AudienceImportWorkflow,
    CampaignShutdownWorkflow,
    StatisticsWorkflow,
    ExportWorkflow,
    RetentionWorkflow,
]
GRACE = timedelta(seconds=5)
TEAMS_IN_MEMORY = 5000
WORKFLOW_THREADS = 2
"""Python runs one of them at a time; more of them only cost hand-overs"""
REFUND_THREADS = MASS_THREADS = 1
"""of their own: nobody's lock or refund queues behind the workflow tasks of a thousand refunds"""
CONCURRENT_REFUNDS, CONCURRENT_MASS, CONCURRENT_STEPS = 4, 2, 4
"""workflow tasks, and transactions, that run side by side: the CPU and the connections that are left are for locks and
payments"""
CONCURRENT_CALLBACKS = 2000
"""activities, which wait for malls most of their time; a mall that hangs has 20 of them, and 200 for 0.3 s each"""


class Limits(TypedDict, total=False):
    max_cached_workflows: int
    max_concurrent_workflow_tasks: int
    max_concurrent_activities: int
    max_concurrent_local_activities: int
    max_workflow_task_external_storage_concurrency: int


@dataclass(frozen=True)
class Process:
    """What all workers of a process have in common."""

    client: Client
    database: Database
    # The sandbox costs a quarter of this process's CPU. The tests run and replay every workflow inside it.
    runner: WorkflowRunner = field(default_factory=UnsandboxedWorkflowRunner)
    deployment: WorkerDeploymentConfig | None = None
    buyers: Buyers = field(default_factory=Buyers)

    def worker(
        self,
        task_queue: str,
        threads: ThreadPoolExecutor,
        *,
        workflows: list[type],
        activities: list[Callable[..., Any]],
        awaited: Collection[Callable[..., Any]] = (),
        **limits: Unpack[Limits],
    ) -> Worker:
        """`awaited`: those of the activities that a buyer waits for."""
        return Worker(
            self.client,
            task_queue=task_queue,
            workflows=workflows,
            activities=activities,
            interceptors=[NotesBuyers(self.buyers, awaited)] if awaited else (),
            workflow_runner=self.runner,
            workflow_task_executor=threads,
            # A fixed number of pollers leaves a tail of seconds under load.
            workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
            activity_task_poller_behavior=PollerBehaviorAutoscaling(),
            graceful_shutdown_timeout=GRACE,
            deployment_config=self.deployment,
            **limits,
        )


def trade_worker(
    process: Process, threads: ThreadPoolExecutor, callbacks: CallbackActivities, task_queue: str = TRADE_QUEUE
) -> Worker:
    """Runs the teams, and the transactions that malls wait for."""
    orders, teams = OrderActivities(process.database), TeamActivities(process.database)
    return process.worker(
        task_queue,
        threads,
        workflows=[TeamWorkflow, ProbeWorkflow],
        activities=[
            orders.lock_seat,
            orders.settle_payment,
            orders.release_overdue,
            teams.take_over,
            teams.conclude_team,
            teams.extend_team,
            callbacks.deliver_at_once,
        ],
        awaited=[orders.lock_seat, orders.settle_payment],
        max_cached_workflows=TEAMS_IN_MEMORY,
        # External storage is not used; above 1 the SDK makes a task of every payload all the same.
        max_workflow_task_external_storage_concurrency=1,
    )


def refund_worker(process: Process, threads: ThreadPoolExecutor) -> Worker:
    """Runs what somebody waits for beside locks and payments of a live team: refunds, and payments that lead to one."""
    database = process.database
    starts = RefundStartActivities(database, partial(start_refund, process.client))
    activities: list[Callable[..., Any]] = [
        *refund_steps(database),
        OrderActivities(database).settle_payment,
        starts.start_refund,
        starts.start_refund_by_operator,
    ]
    return process.worker(
        REFUNDS_QUEUE,
        threads,
        workflows=[RefundWorkflow, PaymentWorkflow],
        activities=activities,
        awaited=activities,
        **limited_to(CONCURRENT_REFUNDS),
    )


def mass_worker(process: Process, threads: ThreadPoolExecutor, retention: Retention) -> Worker:
    """Runs what the platform does for many at once: a few side by side, and none of its activities holds a slot for long."""
    client, database = process.client, process.database
    starts = RefundStartActivities(database, partial(start_refund, client, task_queue=MASS_QUEUE))
    audiences, campaigns = AudienceActivities(database), CampaignActivities(database, partial(close_team, client))
    exports = ExportActivities(database)
    return process.worker(
        MASS_QUEUE,
        threads,
        workflows=[
            RefundWorkflow,
            AudienceImportWorkflow,
            CampaignShutdownWorkflow,
            StatisticsWorkflow,
            ExportWorkflow,
            RetentionWorkflow,
        ],
        activities=[
            *refund_steps(database),
            starts.start_team_refunds,
            audiences.import_members,
            audiences.fail_import,
            audiences.clear_replaced_members,
            campaigns.begin_shutdown,
            campaigns.close_teams,
            campaigns.measure_shutdown,
            StatisticsActivities(database).count_days,
            exports.write_export,
            exports.fail_export,
            exports.delete_exports,
            RetentionActivities(database, retention).remove_old_teams,
        ],
        **limited_to(CONCURRENT_MASS),
    )


def reconciliation_worker(process: Process, threads: ThreadPoolExecutor, horizons: Horizons) -> Worker:
    """Runs reconciliation, which waits behind nothing else."""
    restart, look = partial(restart_refund, process.client), partial(how_team_ended, process.client)
    reconciliation = ReconciliationActivities(process.database, restart, look, horizons)
    return process.worker(
        RECONCILIATION_QUEUE,
        threads,
        workflows=[ReconciliationWorkflow],
        activities=[
            reconciliation.conclude_overdue_teams,
            reconciliation.start_unattended_refunds,
            reconciliation.find_missing_workflows,
            reconciliation.check_invariants,
            reconciliation.book_unearned_discounts,
            reconciliation.clean_up_audiences,
        ],
        **limited_to(CONCURRENT_STEPS),
    )


def callback_worker(process: Process, threads: ThreadPoolExecutor, callbacks: CallbackActivities) -> Worker:
    """Delivers callbacks, with slots of its own: a slow mall holds up nobody's lock."""
    signal = partial(signal_refund, process.client, task_queue=MASS_QUEUE)
    redelivery = RedeliveryActivities(process.database, callbacks, signal)
    return process.worker(
        CALLBACKS_QUEUE,
        threads,
        workflows=[RedeliveryWorkflow, MassRedeliveryWorkflow, SampleWorkflow],
        activities=[
            callbacks.deliver,
            callbacks.deliver_overdue,
            callbacks.revive_callbacks,
            callbacks.send_sample,
            redelivery.redeliver_next,
        ],
        max_concurrent_workflow_tasks=20,
        max_concurrent_activities=CONCURRENT_CALLBACKS,
    )


def limited_to(count: int) -> Limits:
    """As many tasks and activities side by side: the CPU and the connections are left to others."""
    return Limits(max_concurrent_workflow_tasks=count, max_concurrent_local_activities=count, max_concurrent_activities=count)


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
        refunds.decline_refund_act,
    ]


@asynccontextmanager
async def all_workers(
    process: Process,
    callbacks: CallbackActivities,
    task_queue: str = TRADE_QUEUE,
    *,
    horizons: Horizons | None = None,
    only: Collection[str] | None = None,
    retention: Retention | None = None,
) -> AsyncIterator[None]:
    """Everything that a worker process does.

    Args:
        process: what its workers have in common.
        callbacks: the activities that deliver.
        task_queue: the teams'.
        horizons: of the check of the invariants; None: the usual ones.
        only: the task queues that are served; None: all.
        retention: of old teams; None: they are kept.
    """
    with (
        ThreadPoolExecutor(WORKFLOW_THREADS) as threads,
        ThreadPoolExecutor(REFUND_THREADS) as refund_threads,
        ThreadPoolExecutor(MASS_THREADS) as mass_threads,
    ):
        workers = {
            TRADE_QUEUE: partial(trade_worker, process, threads, callbacks, task_queue),
            REFUNDS_QUEUE: partial(refund_worker, process, refund_threads),
            MASS_QUEUE: partial(mass_worker, process, mass_threads, retention or Retention()),
            CALLBACKS_QUEUE: partial(callback_worker, process, threads, callbacks),
            RECONCILIATION_QUEUE: partial(reconciliation_worker, process, mass_threads, horizons or Horizons()),
        }
        async with AsyncExitStack() as running:
            for name, worker in workers.items():
                if only is None or name in only:
                    await running.enter_async_context(worker())
            yield
