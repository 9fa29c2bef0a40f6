"""The workers of a process, one for each task queue."""

from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

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


def trade_worker(
    client: Client,
    database: Database,
    threads: ThreadPoolExecutor,
    task_queue: str = TRADE_QUEUE,
    runner: WorkflowRunner | None = None,
    deployment: WorkerDeploymentConfig | None = None,
) -> Worker:
    """Runs the teams, and the transactions that malls wait for; `runner` None is the one without a sandbox."""
    orders, teams = OrderActivities(database), TeamActivities(database)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[TeamWorkflow, ProbeWorkflow],
        activities=[
            orders.lock_seat,
            orders.settle_payment,
            orders.release_overdue,
            teams.take_over,
            teams.conclude_team,
            teams.extend_team,
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
        deployment_config=deployment,
    )


def refund_worker(
    client: Client,
    database: Database,
    threads: ThreadPoolExecutor,
    runner: WorkflowRunner | None = None,
    deployment: WorkerDeploymentConfig | None = None,
) -> Worker:
    """Runs what somebody waits for beside locks and payments of a live team: refunds, and payments that lead to one."""
    starts = RefundStartActivities(database, partial(start_refund, client))
    return _few_at_once(
        client,
        REFUNDS_QUEUE,
        CONCURRENT_REFUNDS,
        threads,
        runner,
        deployment,
        workflows=[RefundWorkflow, PaymentWorkflow],
        activities=[
            *refund_steps(database),
            OrderActivities(database).settle_payment,
            starts.start_refund,
            starts.start_refund_by_operator,
        ],
    )


def mass_worker(
    client: Client,
    database: Database,
    threads: ThreadPoolExecutor,
    runner: WorkflowRunner | None = None,
    deployment: WorkerDeploymentConfig | None = None,
    retention_days: int | None = None,
) -> Worker:
    """Runs what the platform does for many at once: a few side by side, and none of its activities holds a slot for long."""
    starts = RefundStartActivities(database, partial(start_refund, client, task_queue=MASS_QUEUE))
    audiences, campaigns = AudienceActivities(database), CampaignActivities(database, partial(close_team, client))
    exports = ExportActivities(database)
    return _few_at_once(
        client,
        MASS_QUEUE,
        CONCURRENT_MASS,
        threads,
        runner,
        deployment,
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
            RetentionActivities(database, retention_days).remove_old_teams,
        ],
    )


def reconciliation_worker(
    client: Client,
    database: Database,
    horizons: Horizons,
    threads: ThreadPoolExecutor,
    runner: WorkflowRunner | None = None,
    deployment: WorkerDeploymentConfig | None = None,
) -> Worker:
    """Runs reconciliation, which waits behind nothing else."""
    restart, look = partial(restart_refund, client), partial(how_team_ended, client)
    reconciliation = ReconciliationActivities(database, restart, look, horizons)
    return _few_at_once(
        client,
        RECONCILIATION_QUEUE,
        CONCURRENT_STEPS,
        threads,
        runner,
        deployment,
        workflows=[ReconciliationWorkflow],
        activities=[
            reconciliation.conclude_overdue_teams,
            reconciliation.start_unattended_refunds,
            reconciliation.find_missing_workflows,
            reconciliation.check_invariants,
            reconciliation.book_unearned_discounts,
            reconciliation.clean_up_audiences,
        ],
    )


def _few_at_once(
    client: Client,
    task_queue: str,
    at_once: int,
    threads: ThreadPoolExecutor,
    runner: WorkflowRunner | None,
    deployment: WorkerDeploymentConfig | None,
    *,
    workflows: list[type],
    activities: list[Callable[..., Any]],
) -> Worker:
    """A worker that leaves the CPU and the connections to others."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=workflows,
        activities=activities,
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=at_once,
        workflow_task_executor=threads,
        max_concurrent_local_activities=at_once,
        max_concurrent_activities=at_once,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
        deployment_config=deployment,
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
        refunds.decline_refund_act,
    ]


def callback_worker(
    client: Client,
    database: Database,
    callbacks: CallbackActivities,
    threads: ThreadPoolExecutor,
    runner: WorkflowRunner | None = None,
    deployment: WorkerDeploymentConfig | None = None,
) -> Worker:
    """Delivers callbacks, with slots of its own: a slow mall holds up nobody's lock."""
    redelivery = RedeliveryActivities(database, callbacks, partial(signal_refund, client, task_queue=MASS_QUEUE))
    return Worker(
        client,
        task_queue=CALLBACKS_QUEUE,
        workflows=[RedeliveryWorkflow, MassRedeliveryWorkflow, SampleWorkflow],
        activities=[
            callbacks.deliver,
            callbacks.deliver_overdue,
            callbacks.revive_callbacks,
            callbacks.send_sample,
            redelivery.redeliver_next,
        ],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=20,
        workflow_task_executor=threads,
        max_concurrent_activities=CONCURRENT_CALLBACKS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
        deployment_config=deployment,
    )


@asynccontextmanager
async def all_workers(
    client: Client,
    database: Database,
    callbacks: CallbackActivities,
    task_queue: str = TRADE_QUEUE,
    runner: WorkflowRunner | None = None,
    horizons: Horizons | None = None,
    only: Collection[str] | None = None,
    deployment: WorkerDeploymentConfig | None = None,
    retention_days: int | None = None,
) -> AsyncIterator[None]:
    """Everything that a worker process does.

    Args:
        client: Temporal.
        database: the database.
        callbacks: the activities that deliver.
        task_queue: the teams'.
        runner: None: the one without a sandbox.
        horizons: of the check of the invariants; None: the usual ones.
        only: the task queues that are served; None: all.
        deployment: the version of the workers; None: they have none.
        retention_days: after how many days old teams are removed; None: never.
    """
    with (
        ThreadPoolExecutor(WORKFLOW_THREADS) as threads,
        ThreadPoolExecutor(REFUND_THREADS) as refund_threads,
        ThreadPoolExecutor(MASS_THREADS) as mass_threads,
    ):
        workers = {
            TRADE_QUEUE: partial(trade_worker, client, database, threads, task_queue, runner, deployment),
            REFUNDS_QUEUE: partial(refund_worker, client, database, refund_threads, runner, deployment),
            MASS_QUEUE: partial(mass_worker, client, database, mass_threads, runner, deployment, retention_days),
            CALLBACKS_QUEUE: partial(callback_worker, client, database, callbacks, threads, runner, deployment),
            RECONCILIATION_QUEUE: partial(
                reconciliation_worker, client, database, horizons or Horizons(), mass_threads, runner, deployment
            ),
        }
        async with AsyncExitStack() as running:
            for name, worker in workers.items():
                if only is None or name in only:
                    await running.enter_async_context(worker())
            yield
