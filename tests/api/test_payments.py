"""Payments: facts that are never refused, and booked once."""

import asyncio
from decimal import Decimal

import asyncpg
import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from embedded.demo_data import SOURCE
from tests.api.polling import until
from tests.api.shop import Shop, fresh, moment
from workflows.team.workflow import SETTLE

RETURNED = {"refunding", "refunded"}


async def test_a_payment_settles_and_its_repeat_gets_the_same_outcome(shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    first = await shop.pay(order)
    assert (first.ok()["outcome"], first.body["reason"]) == ("settled", None)
    assert first.body["order"]["paid_at"]
    again = await shop.pay(order)
    assert again.replayed
    assert again.body == first.body


async def test_of_identical_payments_at_once_one_is_the_first(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    for order in await offer.seats(2):
        answers = await asyncio.gather(*(shop.pay(order) for _ in range(10)))
        assert {answer.ok()["outcome"] for answer in answers} == {"settled"}
        assert [answer.replayed for answer in answers].count(False) == 1


async def test_the_repeat_of_a_payment_shows_the_team_as_it_is_now(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    opener, joiner = await offer.seats(2)
    await shop.settle(opener, joiner)
    again = await shop.pay(opener)
    assert again.replayed
    assert (again.body["outcome"], again.body["team"]["status"]) == ("settled", "completed")


async def test_paid_at_is_information(shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    path = f"/v1/orders/{order['out_trade_no']}/payment"
    first = (await shop.mall.post(path, {"amount": "80.00", "paid_at": "2001-02-03T04:05:06+08:00"})).ok()
    assert first["order"]["paid_at"] == "2001-02-02T20:05:06Z"
    again = await shop.mall.post(path, {"amount": "80.00", "paid_at": moment()})
    assert again.replayed
    assert again.body["order"]["paid_at"] == "2001-02-02T20:05:06Z"


async def test_another_amount_afterwards_is_refused_and_recorded(shop: Shop, database: asyncpg.Connection) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    await shop.settle(order)
    for _ in range(2):
        (await shop.pay(order, "79.99")).refused("out_trade_no_reused", 422)
    conflicts = await database.fetch("SELECT amount FROM payment_conflicts WHERE order_id = $1", order["order_id"])
    assert [row["amount"] for row in conflicts] == [Decimal("79.99")]
    assert (await shop.order(order["out_trade_no"]))["status"] == "paid"


async def test_two_amounts_at_once_book_one(shop: Shop, database: asyncpg.Connection) -> None:
    offer = await shop.sell()
    for _ in range(3):
        opener, joiner = await offer.seats(2)
        answers = await asyncio.gather(shop.pay(joiner), shop.pay(joiner, "1.00"))
        assert sorted(answer.status for answer in answers) == [200, 422]
        right, wrong = answers
        status = (await shop.order(joiner["out_trade_no"]))["status"]
        assert status == "paid" if right.status == 200 else status in RETURNED
        recorded = await database.fetchval("SELECT count(*) FROM payment_conflicts WHERE order_id = $1", joiner["order_id"])
        assert recorded == 1
        assert (await shop.team(opener["team_id"]))["lock_count"] == (2 if right.status == 200 else 1)
        assert wrong.status == 422 or wrong.body["reason"] == "amount_mismatch"


@pytest.mark.parametrize("amount", ["79.99", "80.01", "0.00", "9999999999.99"])
async def test_a_wrong_first_amount_goes_back_and_frees_the_seat(shop: Shop, amount: str) -> None:
    offer = await shop.sell(target_count=2, take_limit=1, stock=2)
    opener = await offer.seat()
    user = fresh("user")
    order = await offer.seat(user_id=user, team_id=opener["team_id"])
    settlement = (await shop.pay(order, amount)).ok()
    assert (settlement["outcome"], settlement["reason"]) == ("refunding", "amount_mismatch")
    assert settlement["order"]["status"] in RETURNED
    assert (settlement["team"]["status"], settlement["team"]["lock_count"]) == ("forming", 1)
    again = await shop.pay(order, amount)
    assert again.replayed
    assert (again.body["outcome"], again.body["reason"]) == ("refunding", "amount_mismatch")
    await offer.seat(user_id=user, team_id=opener["team_id"])


async def test_the_opener_s_wrong_amount_abandons_the_team(shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    settlement = (await shop.pay(order, "1.00")).ok()
    assert (settlement["outcome"], settlement["team"]["status"]) == ("refunding", "failed")


async def test_a_payment_after_the_seat_was_sold_again_goes_back(shop: Shop) -> None:
    offer = await shop.sell(target_count=2, lock_ttl=1, payment_grace=0)
    opener, late = await offer.seats(2)
    await shop.settle(opener)
    await shop.until_order(late, "cancelled")
    other = await offer.seat(team_id=opener["team_id"])
    await shop.settle(other)
    settlement = (await shop.pay(late)).ok()
    assert (settlement["outcome"], settlement["reason"]) == ("refunding", "late_payment")
    assert settlement["order"]["status"] in RETURNED
    team = settlement["team"]
    assert (team["status"], team["lock_count"], team["complete_count"]) == ("completed", 2, 2)
    assert (await shop.pay(late)).replayed


async def test_a_payment_that_another_process_booked_before_the_team_s_workflow_ended_is_a_repeat(
    shop: Shop, temporal: Client
) -> None:
    offer = await shop.sell(target_count=2)
    order = await offer.seat()
    report = {name: order[name] for name in ("out_trade_no", "order_id", "team_id")}
    report |= {"source": SOURCE, "amount": order["pay_price"], "paid_at": moment()}
    team = temporal.get_workflow_handle(order["workflow"]["id"])
    await team.execute_update(SETTLE, report, id="another-process")
    await team.terminate()

    answer = await shop.pay(order)

    assert (answer.ok()["outcome"], answer.replayed) == ("settled", True)
    with pytest.raises(RPCError, match="not found"):
        await temporal.get_workflow_handle(f"refund-{order['order_id']}-1").describe()


@pytest.mark.parametrize("end", ["abandoned", "closed", "completed"])
async def test_a_payment_after_the_team_s_workflow_has_ended_goes_back(shop: Shop, temporal: Client, end: str) -> None:
    offer = await shop.sell(target_count=2, refund_window=0, lock_ttl=1 if end == "abandoned" else 900, payment_grace=0)
    late = await offer.seat()
    team_id = late["team_id"]
    if end == "closed":
        (await shop.ops.post(f"/v1/ops/teams/{team_id}/close", {})).ok()
    if end == "completed":
        await shop.settle(await offer.seat(team_id=team_id))
        (await shop.ops.post(f"/v1/ops/teams/{team_id}/complete", {})).ok()

    async def workflow() -> WorkflowExecutionStatus | None:
        return (await temporal.get_workflow_handle(f"team-{team_id}").describe()).status

    await until(workflow, lambda seen: seen is WorkflowExecutionStatus.COMPLETED)
    settlement = (await shop.pay(late)).ok()
    assert (settlement["outcome"], settlement["reason"]) == ("refunding", "late_payment")
    assert (await shop.order(late["out_trade_no"]))["status"] in RETURNED
    assert (await shop.pay(late)).replayed


async def test_a_payment_for_no_order_is_refused(shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    body = {"amount": "80.00", "paid_at": moment()}
    (await shop.mall.post(f"/v1/orders/{fresh('trade')}/payment", body)).refused("order_not_found", 404)
    path = f"/v1/orders/{order['out_trade_no']}/payment"
    (await shop.other_mall.post(path, body)).refused("order_not_found", 404)
    assert (await shop.order(order["out_trade_no"]))["status"] == "locked"
