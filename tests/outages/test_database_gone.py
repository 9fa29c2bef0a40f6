"""The database goes away for a while: requests wait or are told to come again, and all pending work completes by itself."""

import asyncio
import os

import pytest
from temporalio.client import Client

from embedded.stack import Stack
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Shop
from tests.api.signals import team_workflow
from tests.outages.crowd import EVENTUALLY, Crowd

SECONDS = float(os.environ.get("GROUPBUY_TEST_OUTAGE_SECONDS", "12"))


@pytest.mark.timeout(300)
async def test_trade_goes_on_after_the_database_was_gone(stack: Stack, shop: Shop, crowd: Crowd) -> None:
    await crowd.completes_teams()
    await stack.stop_part("postgres")
    await crowd.meets_trouble()
    assert (await shop.mall.get("/readyz")).status == 503
    assert (await shop.mall.get("/healthz")).status == 200
    await asyncio.sleep(SECONDS)
    await stack.start_part("postgres")
    await crowd.completes_teams()
    await crowd.finish()


async def test_what_falls_due_while_the_database_is_gone_is_done_after(stack: Stack, shop: Shop, receiver: Receiver) -> None:
    """A seat's window, a team's deadline and an operator's signal; meanwhile operators see why nothing happens."""
    temporal = await Client.connect(stack.addresses.temporal_address)
    short = await shop.sell(lock_ttl=3, payment_grace=0)
    paid = await short.seat(callback=receiver.callback())
    await shop.settle(paid)
    unpaid = await short.seat(team_id=paid["team_id"], callback=receiver.callback())
    late = await (await shop.sell(team_ttl=3, payment_grace=0, min_count=1)).seat(callback=receiver.callback())
    await shop.settle(late)
    closed = await (await shop.sell()).seat(callback=receiver.callback())

    await stack.stop_part("postgres")
    await team_workflow(temporal, closed["team_id"]).signal("close", {"operator": "ann"})
    for order in (unpaid, late, closed):
        await until(lambda: stuck(temporal, order["team_id"]), bool, EVENTUALLY)  # noqa: B023
    await stack.start_part("postgres")

    await shop.until_order(unpaid, "cancelled")
    await shop.until_team(late["team_id"], "completed")
    await shop.until_team(closed["team_id"], "failed")
    await receiver.of_type("team.completed")
    await receiver.of_type("team.failed")
    await receiver.of_type("order.cancelled", 2)
    assert await shop.violations() == []


async def stuck(temporal: Client, team_id: str) -> bool:
    """Whether Temporal's UI shows a step of this team that is tried again and again, and why."""
    description = await team_workflow(temporal, team_id).describe()
    pending = description.raw_description.pending_activities
    return any(step.attempt > 1 and step.last_failure.message for step in pending)


async def test_cancelling_a_workflow_in_the_middle_of_a_step_still_closes_its_team(stack: Stack, shop: Shop) -> None:
    temporal = await Client.connect(stack.addresses.temporal_address)
    offer = await shop.sell(lock_ttl=1, payment_grace=0)
    paid = await offer.seat()
    await shop.settle(paid)
    await offer.seat(team_id=paid["team_id"])
    await stack.stop_part("postgres")
    await until(lambda: stuck(temporal, paid["team_id"]), bool, EVENTUALLY)
    await team_workflow(temporal, paid["team_id"]).cancel()
    await stack.start_part("postgres")
    await shop.until_team(paid["team_id"], "failed")
    # The money may be on its way already when the team is seen.
    await shop.until_order(paid, "refunded")
    assert await shop.violations() == []
