"""What a buyer waits for does not wait for mass work, nor mass work for other mass work. On Temporal's own server."""

import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

import activities.campaigns
import activities.refunds
from api.services.refunds import RefundService
from db.core.connection import Database
from db.core.invariants import violations
from db.orders.queries import OrderFilter, list_orders
from domain.ids import order_id, refund_workflow_id, shutdown_workflow_id
from domain.lifecycle import OrderStatus, PaymentOutcome, RefundKind, RefundStatus
from domain.messages.campaigns import ShutdownInput
from domain.messages.refunds import RefundInput, RefundRequest
from embedded.stack import Stack
from settings import Settings
from tests.api.polling import until
from tests.workflows.play import SOURCE, Play, callback_activities, publish, working
from workers.queues import CONCURRENT_MASS, Process, callback_worker, refund_worker, trade_worker
from workflows.starters import start_campaign_shutdown, start_refund
from workflows.task_queues import MASS_QUEUE


@asynccontextmanager
async def working_without_mass(client: Client, database: Database) -> AsyncIterator[str]:
    queue = f"test-{uuid.uuid4().hex}"
    process = Process(client, database)
    async with callback_activities(database) as callbacks:
        with ThreadPoolExecutor(1) as threads:
            async with (
                trade_worker(process, threads, callbacks, queue),
                refund_worker(process, threads),
                callback_worker(process, threads, callbacks),
            ):
                yield queue


async def team(play: Play, *, paid: int) -> Play:
    own = replace(play, name=uuid.uuid4().hex[:10])
    await own.open()
    for buyer in range(2, paid + 1):
        await own.join(buyer)
    for buyer in range(1, paid + 1):
        await own.pay(buyer)
    return own


async def statuses(database: Database, of: Play) -> list[OrderStatus]:
    return [order.status for order in await list_orders(database, OrderFilter(team_id=of.team), None, 100)]


async def checks(workflow: WorkflowHandle[Any, str]) -> int:
    """How often its pending activity has given its slot back."""
    pending = (await workflow.describe()).raw_description.pending_activities
    return pending[0].attempt if pending and "told to close; more follow" in pending[0].last_failure.message else 0


async def signals(workflow: WorkflowHandle[Any, str]) -> int:
    events = [event.event_type async for event in workflow.fetch_history_events()]
    return events.count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)


async def until_failed(database: Database, of: Play) -> None:
    """Its paid members are owed their money."""
    owed = OrderFilter(team_id=of.team, owed=True)
    await until(lambda: list_orders(database, owed, None, 100), lambda seen: len(seen) > 0)


async def test_what_is_asked_for_does_not_wait_for_mass_work(client: Client, database: Database, services: Stack) -> None:
    campaign, campaign_id, goods_id = await publish(database, target_count=5)
    settings = Settings(database_url=services.addresses.database_url, answer_within=5)
    refunds = RefundService(database, client, settings)
    async with working_without_mass(client, database) as queue:  # as if its queue were long
        play = Play(client, queue, campaign, campaign_id, goods_id)
        failed, elsewhere, late = [await team(play, paid=paid) for paid in (4, 2, 1)]
        for buyer in (2, 3):
            await late.join(buyer)
        for closed in (failed, late):
            await closed.handle.signal("close")
            await until_failed(database, closed)
        for buyer in (2, 3):  # those of the failed team that were started already
            order = RefundInput(source=SOURCE, out_trade_no=failed.number(buyer), attempt=1)
            await start_refund(client, order, MASS_QUEUE)

        refund, replayed = await refunds.refund(SOURCE, elsewhere.number(1), RefundRequest())
        assert (refund.kind, replayed) == (RefundKind.PAID_UNFORMED, False)
        await elsewhere.join(3)
        assert (await elsewhere.pay(3, "1.00")).outcome is PaymentOutcome.REFUNDING
        assert (await late.pay(2)).outcome is PaymentOutcome.REFUNDING
        assert (await late.pay_alone(3)).outcome is PaymentOutcome.REFUNDING
        for buyer in (1, 2):
            request = RefundRequest(reason="in a hurry")
            refund, replayed = await refunds.refund(SOURCE, failed.number(buyer), request)
            assert (refund.kind, refund.status, replayed) == (RefundKind.PAID_UNFORMED, RefundStatus.REQUESTED, True)
            assert refund.workflow is not None
            assert refund.workflow.id == failed.refund_handle(buyer).id
        # The one that nothing had been started for did not wait for the others.
        assert await failed.refund_handle(1).result() == "paid_unformed: done"
        refund, _ = await refunds.refund(SOURCE, failed.number(1), RefundRequest())
        assert (refund.status, refund.reason) == (RefundStatus.DONE, "in a hurry")
        assert sorted(await statuses(database, failed)) == ["paid", "paid", "paid", "refunded"]
    async with working(client, database, queue):
        for of in (failed, late):
            await until(lambda: statuses(database, of), lambda seen: set(seen) == {OrderStatus.REFUNDED})  # noqa: B023
    assert await violations(database) == []


async def test_activities_that_wait_for_others_hold_no_slot(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More shutdowns than there are slots, whose teams do not close; and a failed team with more members than a batch has."""
    monkeypatch.setattr(activities.campaigns, "CHECKS", 3600)
    monkeypatch.setattr(activities.refunds, "BATCH", 2)
    deaf = f"test-{uuid.uuid4().hex}"
    shutdowns: list[WorkflowHandle[Any, str]] = []
    teams: list[Play] = []
    async with working(client, database, deaf):
        for _ in range(CONCURRENT_MASS + 2):
            campaign, campaign_id, goods_id = await publish(database)
            teams.append(await team(Play(client, deaf, campaign, campaign_id, goods_id), paid=1))
    async with working(client, database) as queue:
        for each in teams:
            shutdown = ShutdownInput(campaign_id=each.campaign_id, operator="ann", reason="sold out")
            await start_campaign_shutdown(client, shutdown)
            shutdowns.append(client.get_workflow_handle(shutdown_workflow_id(each.campaign_id), result_type=str))
        for handle in shutdowns:
            await until(lambda: checks(handle), lambda seen: seen > 3)  # noqa: B023
        assert [await signals(each.handle) for each in teams] == [1] * len(teams)
        campaign, campaign_id, goods_id = await publish(database, target_count=6)
        failed = await team(Play(client, queue, campaign, campaign_id, goods_id), paid=5)
        await failed.handle.signal("close")
        await until(lambda: statuses(database, failed), lambda seen: set(seen) == {OrderStatus.REFUNDED})
        for handle in shutdowns:
            await handle.terminate()
    assert await violations(database) == []


async def test_mass_work_is_fair_by_mall(client: Client, database: Database) -> None:
    """The refunds of one mall do not wait for all of another's, which were there before."""
    refunds = [
        RefundInput(source=mall, out_trade_no=uuid.uuid4().hex, attempt=1)
        for mall, count in (("big", 40), ("small", 1))
        for _ in range(count)
    ]
    for refund in refunds:
        await start_refund(client, refund, MASS_QUEUE)
    ends = []
    async with working(client, database):
        for refund in refunds:
            handle = client.get_workflow_handle(refund_workflow_id(order_id(refund.source, refund.out_trade_no), 1))
            with pytest.raises(WorkflowFailureError):  # there are no such orders, so each ends as soon as it is served
                await handle.result()
            closed = (await handle.describe()).close_time
            assert closed is not None
            ends.append(closed)
    assert ends[-1] < sorted(ends)[len(ends) // 2]
