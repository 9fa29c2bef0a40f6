"""Teams and refunds whose malls are told over RabbitMQ: in our own format, and in the original's."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.callbacks.senders.amqp import AmqpSender
from db.core.connection import Database
from db.core.invariants import violations
from domain.lifecycle import RefundKind, RefundStatus
from domain.messages.callbacks import Address
from tests.broker import BROKER, Queue, queue
from tests.workflows.play import Play, publish, working


@pytest.fixture
async def behind() -> AsyncIterator[Queue]:
    async with queue() as made:
        yield made


async def left(time: WorkflowEnvironment, database: Database, behind: Queue, callback: Address) -> Play:
    """A completed team that one member has left; what the mall is told is in the queue."""
    campaign, campaign_id, goods_id = await publish(database)
    async with (
        aclosing(AmqpSender(BROKER, 5, behind.exchange)) as amqp,
        working(time.client, database, amqp=amqp) as workers,
    ):
        team = Play(time.client, workers, campaign, campaign_id, goods_id, callback=callback)
        await team.open()
        for buyer in (2, 3):
            await team.join(buyer)
        for buyer in (1, 2, 3):
            await team.pay(buyer)
        # A queue cannot answer: the mall is told, and not asked.
        refund = await team.refund(1)
        assert (refund.kind, refund.needs_consent, refund.released) == (RefundKind.PAID_FORMED, False, True)
        assert await team.refund_handle(1).result() == f"{RefundKind.PAID_FORMED}: {RefundStatus.DONE}"
    assert await violations(database) == []
    return team


async def test_a_queue_is_told_of_completion_and_refund(time: WorkflowEnvironment, database: Database, behind: Queue) -> None:
    team = await left(time, database, behind, Address(kind="amqp", address="own.key"))
    told = {message.type: json.loads(message.body) for message in [await behind.message(), await behind.message()]}
    assert set(told) == {"team.completed", "order.refunded"}
    assert told["team.completed"]["data"]["out_trade_nos"] == [team.number(buyer) for buyer in (1, 2, 3)]
    assert told["order.refunded"]["data"]["amount"] == "80.00"
    assert {body["sequence"] for body in told.values()} != {None}
    assert await behind.is_empty()


async def test_the_original_s_queues_are_told_in_its_own_words(
    time: WorkflowEnvironment, database: Database, behind: Queue
) -> None:
    for topic in ("topic.team_success", "topic.team_refund"):
        await behind.bind(topic)
    team = await left(time, database, behind, Address(kind="amqp", address="topic.team_success", format="original"))
    told: dict[str | None, Any] = {}
    for message in [await behind.message(), await behind.message()]:
        told[message.routing_key] = json.loads(message.body)
    assert told == {
        "topic.team_success": {"teamId": team.team, "outTradeNoList": [team.number(buyer) for buyer in (1, 2, 3)]},
        "topic.team_refund": {
            "type": "paid_formed",
            "userId": f"{team.name}-user-1",
            "teamId": team.team,
            "orderId": team.order(1),
            "outTradeNo": team.number(1),
            "activityId": team.campaign_id,
        },
    }
    assert await behind.is_empty()
