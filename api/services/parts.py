"""How the parts of the platform are, as this process meets them."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from pydantic import SecretStr
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError
from yarl import URL

from db.core.clock import clock_offset
from db.core.connection import Database
from workflows.task_queues import CALLBACKS_QUEUE, MASS_QUEUE, RECONCILIATION_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE

QUEUES = (TRADE_QUEUE, REFUNDS_QUEUE, MASS_QUEUE, CALLBACKS_QUEUE, RECONCILIATION_QUEUE)
WITHIN = 1.0
POLLED_WITHIN = timedelta(seconds=90)
"""a worker asks a queue for work at least every minute"""
AMQP_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class Parts:
    version: str
    """of this API process"""
    clock_offset: timedelta
    """how far the database's clock is ahead of this process's"""
    temporal: bool
    workers: int
    """processes that ask for work"""
    unattended: list[str]
    """queues that no worker asks for work; empty where Temporal does not answer"""
    broker: bool | None
    """None: none is configured here"""


class PartsService:
    def __init__(self, database: Database, client: Client, amqp_url: SecretStr | None) -> None:
        self._database = database
        self._client = client
        self._amqp_url = amqp_url

    async def look(self) -> Parts:
        offset, workers, broker = await asyncio.gather(clock_offset(self._database), self._workers(), self._broker())
        return Parts(
            version=version("groupbuy"),
            clock_offset=offset,
            temporal=workers is not None,
            workers=len(set().union(*workers.values())) if workers else 0,
            unattended=[queue for queue, names in workers.items() if not names] if workers else [],
            broker=broker,
        )

    async def _workers(self) -> dict[str, set[str]] | None:
        """Returns the names of the workers of each queue; None: Temporal does not answer."""
        try:
            async with asyncio.timeout(WITHIN):
                names = await asyncio.gather(*map(self._pollers, QUEUES))
        except (RPCError, RuntimeError, TimeoutError):
            return None
        return dict(zip(QUEUES, names, strict=True))

    async def _pollers(self, queue: str) -> set[str]:
        asked = DescribeTaskQueueRequest(
            namespace=self._client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        answer = await self._client.workflow_service.describe_task_queue(asked)
        since = datetime.now(UTC) - POLLED_WITHIN
        return {each.identity for each in answer.pollers if each.last_access_time.ToDatetime(UTC) > since}

    async def _broker(self) -> bool | None:
        if self._amqp_url is None:
            return None
        url = URL(self._amqp_url.get_secret_value())
        try:
            async with asyncio.timeout(WITHIN):
                _, writer = await asyncio.open_connection(url.host, url.port or AMQP_PORTS.get(url.scheme))
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True
