"""The reverse flow as a mall and an operator meet it, on the whole stack."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from temporalio.client import Client, WorkflowExecutionStatus

from embedded.ports import HOST, free_port
from tests.api.audit import audit_of
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Offer, Shop, fresh
from tests.api.signals import Handle, details, team_workflow, until_details

VETO = {"code": "refund_rejected", "detail": "shipped already"}


def refund_workflow(temporal: Client, order: Json, attempt: int = 1) -> Handle:
    return temporal.get_workflow_handle(f"refund-{order['order_id']}-{attempt}")


async def status_of(workflow: Handle) -> WorkflowExecutionStatus | None:
    return (await workflow.describe()).status


async def completed_team(shop: Shop, receiver: Receiver | None, size: int = 3, **fields: Any) -> list[Json]:  # noqa: ANN401
    offer = await shop.sell(target_count=size, **fields)
    orders = await offer.seats(size, **({"callback": receiver.callback()} if receiver else {}))
    await shop.settle(*orders)
    return orders


async def test_unpaid(shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(take_limit=1, stock=2)
    opener, order = await offer.seats(2, callback=receiver.callback())
    first = await shop.refund(order, reason="changed my mind")
    refund = first.ok(202)
    assert (refund["kind"], refund["status"], refund["amount"], refund["reason"]) == (
        "unpaid",
        "done",
        "0.00",
        "changed my mind",
    )
    assert refund["workflow"]["id"] == f"refund-{order['order_id']}-1"
    again = await shop.refund(order)
    assert again.replayed
    assert again.body == refund == (await shop.mall.get(f"/v1/orders/{order['out_trade_no']}/refund")).ok()
    now = await shop.order(order["out_trade_no"])
    assert (now["status"], now["cancel_reason"]) == ("cancelled", "buyer")
    assert (await shop.team(opener["team_id"]))["lock_count"] == 1
    [callback] = await receiver.of_type("order.cancelled")
    assert callback.data == {"out_trade_no": order["out_trade_no"], "team_id": order["team_id"], "reason": "buyer"}
    await offer.seat(team_id=opener["team_id"], user_id=order["user_id"])


async def test_paid_in_a_forming_team(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    offer = await shop.sell(target_count=2, take_limit=1)
    opener, joiner = await offer.seats(2, callback=receiver.callback())
    await shop.settle(opener)
    refund = (await shop.refund(opener, reason="too slow")).ok(202)
    assert (refund["kind"], refund["amount"]) == ("paid_unformed", "80.00")
    await shop.until_order(opener, "refunded")
    [callback] = await receiver.of_type("order.refunded")
    assert callback.data == {
        "out_trade_no": opener["out_trade_no"],
        "team_id": opener["team_id"],
        "kind": "paid_unformed",
        "amount": "80.00",
        "reason": "too slow",
    }
    assert (await shop.refund(opener)).body["status"] == "done"
    await until(lambda: status_of(refund_workflow(temporal, opener)), lambda seen: seen is WorkflowExecutionStatus.COMPLETED)
    # The opener's place is sold again, and the team completes without him.
    other = await offer.seat(team_id=opener["team_id"], user_id=opener["user_id"])
    assert (await shop.settle(joiner, other))["team"]["status"] == "completed"


async def test_the_last_member_who_leaves_a_forming_team_abandons_it(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell()
    [order] = await offer.seats(1)
    await shop.settle(order)
    (await shop.refund(order)).ok(202)
    team = await shop.until_team(order["team_id"], "failed")
    assert (team["lock_count"], team["complete_count"]) == (0, 0)
    workflow = team_workflow(temporal, order["team_id"])
    await until(lambda: status_of(workflow), lambda seen: seen is WorkflowExecutionStatus.COMPLETED)


async def test_a_member_of_a_completed_team_leaves_with_the_mall_s_consent(
    shop: Shop, receiver: Receiver, temporal: Client
) -> None:
    orders = await completed_team(shop, receiver)
    refund = (await shop.refund(orders[0], reason="broken")).ok(202)
    assert (refund["kind"], refund["amount"]) == ("paid_formed", "80.00")
    [asked] = await receiver.of_type("order.refund_requested")
    assert asked.data == {
        "out_trade_no": orders[0]["out_trade_no"],
        "team_id": orders[0]["team_id"],
        "amount": "80.00",
        "reason": "broken",
    }
    [told] = await receiver.of_type("order.refunded")
    assert told.data["kind"] == "paid_formed"
    await shop.until_order(orders[0], "refunded")
    team = await shop.until_team(orders[0]["team_id"], "completed_with_refunds")
    assert (team["lock_count"], team["complete_count"]) == (2, 2)
    assert ([member["status"] for member in team["members"]], team["left_count"]) == (["paid", "paid"], 1)
    await until_details(team_workflow(temporal, orders[0]["team_id"]), say="**completed_with_refunds**: 2 paid")


async def test_a_veto_leaves_everything_as_it_was(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    orders = await completed_team(shop, receiver)
    before = await shop.team(orders[0]["team_id"])
    receiver.answer_to("order.refund_requested", web.json_response(VETO, status=409))
    (await shop.refund(orders[0])).ok(202)
    refund = await shop.until_refund(orders[0], "rejected")
    assert refund["finished_at"]
    assert await shop.team(orders[0]["team_id"]) == before
    workflow = refund_workflow(temporal, orders[0])
    await until(lambda: status_of(workflow), lambda seen: seen is WorkflowExecutionStatus.FAILED)
    assert "Note: `shipped already`" in await details(workflow)
    # A later request is a new attempt, with a question of its own.
    again = (await shop.refund(orders[0])).ok(202)
    assert again["workflow"]["id"] == f"refund-{orders[0]['order_id']}-2"
    await shop.until_order(orders[0], "refunded")
    first, second = await receiver.of_type("order.refund_requested", 2)
    assert first.event_id != second.event_id
    assert len(await receiver.of_type("order.refunded")) == 1


@pytest.mark.parametrize("answer", [web.json_response({"code": "other"}, status=409), web.Response(status=409)])
async def test_another_409_is_no_veto(shop: Shop, receiver: Receiver, answer: web.Response) -> None:
    orders = await completed_team(shop, receiver)
    receiver.answer_to("order.refund_requested", answer)
    (await shop.refund(orders[0])).ok(202)
    await shop.until_order(orders[0], "refunded")
    assert len(await receiver.of_type("order.refund_requested", 2)) == 2


async def test_the_last_two_members_leave_at_the_same_time(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    orders = await completed_team(shop, receiver, size=2)
    answers = await asyncio.gather(*(shop.refund(order) for order in orders))
    assert [answer.status for answer in answers] == [202, 202]
    for order in orders:
        await shop.until_order(order, "refunded")
    team = await shop.until_team(orders[0]["team_id"], "failed")
    assert (team["lock_count"], team["complete_count"]) == (0, 0)
    assert receiver.types() == {"team.completed", "order.refund_requested", "order.refunded"}
    workflow = team_workflow(temporal, orders[0]["team_id"])
    await until(lambda: status_of(workflow), lambda seen: seen is WorkflowExecutionStatus.COMPLETED)


@pytest.mark.parametrize("end", ["close", "expire"])
async def test_when_a_team_fails_everybody_who_paid_gets_the_money_back(shop: Shop, receiver: Receiver, end: str) -> None:
    short: Any = {"team_ttl": 2, "payment_grace": 0} if end == "expire" else {}
    offer = await shop.sell(target_count=5, **short)
    orders = await offer.seats(4, callback=receiver.callback())
    await shop.settle(*orders[:3])
    if end == "close":
        (await shop.ops.post(f"/v1/ops/teams/{orders[0]['team_id']}/close", {"reason": "sold out"})).ok()
    for order in orders[:3]:
        await shop.until_order(order, "refunded")
    told = await receiver.of_type("order.refunded", 3)
    assert {one.data["out_trade_no"] for one in told} == {order["out_trade_no"] for order in orders[:3]}
    assert {(one.data["kind"], one.data["reason"]) for one in told} == {("paid_unformed", "team_failed")}
    assert (await shop.order(orders[3]["out_trade_no"]))["status"] == "cancelled"
    refund = (await shop.mall.get(f"/v1/orders/{orders[3]['out_trade_no']}/refund")).ok()
    assert (refund["kind"], refund["status"], refund["amount"]) == ("unpaid", "done", "0.00")


async def test_one_member_s_trouble_holds_up_no_other(shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(target_count=5)
    away = {"kind": "http", "url": f"http://{HOST}:{free_port()}/"}
    opener = await offer.seat(callback=away)
    others = [await offer.seat(team_id=opener["team_id"], callback=receiver.callback()) for _ in range(3)]
    await shop.settle(opener, *others)
    (await shop.ops.post(f"/v1/ops/teams/{opener['team_id']}/close", {})).ok()
    for order in others:
        await shop.until_order(order, "refunded")
    assert (await shop.order(opener["out_trade_no"]))["status"] == "refunding"


async def test_a_late_payer_gets_the_seat_back_or_the_money(shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(target_count=3, lock_ttl=1, payment_grace=0)
    opener, early, late = await offer.seats(3, callback=receiver.callback())
    await shop.settle(opener)
    for order in (early, late):
        await shop.until_order(order, "cancelled")
    settlement = (await shop.pay(early)).ok()
    assert (settlement["outcome"], settlement["order"]["status"]) == ("reseated", "paid")
    assert (await shop.pay(early)).replayed
    [told] = await receiver.of_type("order.reseated")
    assert told.data == {"out_trade_no": early["out_trade_no"], "team_id": early["team_id"]}
    assert (await shop.mall.get(f"/v1/orders/{early['out_trade_no']}/refund")).refused("refund_not_found", 404)
    # The last free seat goes to somebody else: there is none left for the other.
    other = await offer.seat(team_id=opener["team_id"])
    await shop.settle(other)
    settlement = (await shop.pay(late)).ok()
    assert (settlement["outcome"], settlement["reason"]) == ("refunding", "late_payment")
    await shop.until_order(late, "refunded")
    refund = (await shop.mall.get(f"/v1/orders/{late['out_trade_no']}/refund")).ok()
    assert (refund["kind"], refund["status"], refund["amount"]) == ("unsettled", "done", "80.00")
    assert (await shop.team(opener["team_id"]))["status"] == "completed"


@pytest.mark.parametrize("amount", ["0.01", "80.01"])
async def test_a_wrong_amount_comes_back_exactly(shop: Shop, receiver: Receiver, amount: str) -> None:
    offer = await shop.sell()
    opener, wrong = await offer.seats(2, callback=receiver.callback())
    assert (await shop.pay(wrong, amount)).ok()["reason"] == "amount_mismatch"
    await shop.until_order(wrong, "refunded")
    [told] = await receiver.of_type("order.refunded")
    assert (told.data["kind"], told.data["amount"], told.data["reason"]) == ("unsettled", amount, "amount_mismatch")
    assert (await shop.team(opener["team_id"]))["lock_count"] == 1
    assert (await shop.pay(wrong, amount)).replayed


async def test_money_that_comes_after_everything_has_ended_goes_back(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    offer = await shop.sell()
    [order] = await offer.seats(1, callback=receiver.callback())
    (await shop.refund(order)).ok(202)
    workflow = team_workflow(temporal, order["team_id"])
    await until(lambda: status_of(workflow), lambda seen: seen is WorkflowExecutionStatus.COMPLETED)
    settlement = (await shop.pay(order)).ok()
    assert (settlement["outcome"], settlement["reason"]) == ("refunding", "late_payment")
    await shop.until_order(order, "refunded")
    refund = (await shop.mall.get(f"/v1/orders/{order['out_trade_no']}/refund")).ok()
    assert (refund["kind"], refund["workflow"]["id"]) == ("unsettled", f"refund-{order['order_id']}-2")


async def test_after_the_window_only_an_operator_s_force_undoes(shop: Shop, receiver: Receiver) -> None:
    orders = await completed_team(shop, receiver, refund_window=0)
    (await shop.refund(orders[0])).refused("refund_window_closed", 409)
    path = f"/v1/ops/orders/{orders[0]['order_id']}/refund"
    (await shop.ops.post(path, {"reason": "kind"})).refused("refund_window_closed", 409)
    done = (await shop.ops.post(path, {"reason": "kind", "force": True})).ok()
    assert (done["changed"], done["detail"]) == (True, "The mall is asked for its consent.")
    assert (done["refund"]["order_id"], done["refund"]["kind"]) == (orders[0]["order_id"], "paid_formed")
    await shop.until_order(orders[0], "refunded")
    again = (await shop.ops.post(path, {"force": True})).ok()
    assert (again["changed"], again["detail"]) == (False, "The order is refunded already.")
    assert again["refund"]["status"] == "done"
    told = await audit_of(shop, f"refund/{orders[0]['order_id']}")
    assert [(each["action"], each["changed"], each["reason"]) for each in told] == [
        ("refund", False, "kind"),
        ("refund", True, "kind"),
        ("refund", False, None),
    ]
    [refund] = (await shop.ops.get("/v1/ops/refunds", out_trade_no=orders[0]["out_trade_no"])).ok()["data"]
    assert (refund["operator"], refund["reason"], refund["answer"]) == ("demo operator", "kind", "agreed")


@pytest.mark.parametrize("paid", [False, True])
async def test_ten_requests_at_once_are_one_refund(shop: Shop, receiver: Receiver, temporal: Client, paid: bool) -> None:
    offer = await shop.sell()
    opener, order = await offer.seats(2, callback=receiver.callback())
    if paid:
        await shop.settle(order)
    workflow = team_workflow(temporal, order["team_id"])
    async with asyncio.TaskGroup() as at_once:
        requests = [at_once.create_task(shop.refund(order)) for _ in range(10)]
        for _ in range(2):
            at_once.create_task(workflow.signal("refund", {"out_trade_no": order["out_trade_no"], "operator": "ann"}))
    answers = [request.result() for request in requests]
    assert {answer.status for answer in answers} <= {200, 202}
    assert len({(answer.body["order_id"], answer.body["workflow"]["id"]) for answer in answers}) == 1
    await shop.until_order(order, "refunded" if paid else "cancelled")
    await receiver.of_type("order.refunded" if paid else "order.cancelled")
    assert (await shop.team(opener["team_id"]))["lock_count"] == 1
    refunds = (await shop.ops.get("/v1/ops/refunds", out_trade_no=order["out_trade_no"])).ok()["data"]
    assert len(refunds) == 1


async def test_an_order_of_somebody_else_has_no_refund(shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    path = f"/v1/orders/{order['out_trade_no']}/refund"
    (await shop.other_mall.post(path, {})).refused("order_not_found", 404)
    (await shop.other_mall.get(path)).refused("order_not_found", 404)
    (await shop.mall.get(path)).refused("refund_not_found", 404)
    (await shop.mall.post(f"/v1/orders/{fresh('trade')}/refund")).refused("order_not_found", 404)
    assert (await shop.order(order["out_trade_no"]))["status"] == "locked"


async def test_a_refund_needs_no_body(shop: Shop) -> None:
    offer: Offer = await shop.sell()
    order = await offer.seat()
    assert (await shop.mall.call("POST", f"/v1/orders/{order['out_trade_no']}/refund")).ok(202)["reason"] == "buyer"
