"""What operators do to a team: over HTTP, and with Temporal's own tools."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from tests.api.audit import audit_of
from tests.api.polling import until, until_moment
from tests.api.receiver import Receiver
from tests.api.shop import Json, Shop, fresh, moment_of
from tests.api.signals import details, team_workflow, until_details


async def send(
    shop: Shop, temporal: Client, by: str, team_id: str, signal: str, payload: Json, *, changed: bool = True
) -> None:
    """Does an act in either way; what came of it stands in the audit, with who did it."""
    before = len(await audit_of(shop, f"team/{team_id}"))
    if by == "http":
        done = (await shop.ops.post(f"/v1/ops/teams/{team_id}/{signal}", payload)).ok()
        assert (done["changed"], done["team"]["team_id"]) == (changed, team_id)
        assert done["team"]["status"] == (await shop.team(team_id))["status"]
    else:
        await team_workflow(temporal, team_id).signal(signal, {**payload, "operator": "ann"})
    told = await until(lambda: audit_of(shop, f"team/{team_id}"), lambda seen: len(seen) > before)
    assert len(told) == before + 1
    act = told[-1]
    who = ("demo operator", "api", True, True) if by == "http" else ("ann", "signal", False, False)
    assert (act["changed_by"], act["via"], act["key_id"] is not None, act["request_id"] is not None) == who
    assert (act["action"], act["reason"], act["changed"]) == (signal, payload.get("reason"), changed)
    if by == "http":
        assert (act["outcome"], act["address"]) == (done["detail"], "127.0.0.1")


by_http_and_signal = pytest.mark.parametrize("by", ["http", "signal"])


@by_http_and_signal
async def test_extend_gives_a_team_more_time(shop: Shop, temporal: Client, by: str) -> None:
    offer = await shop.sell(team_ttl=600)
    before = await shop.team((await offer.seat())["team_id"])
    await send(shop, temporal, by, before["team_id"], "extend", {"minutes": 60})
    later = await until(lambda: shop.team(before["team_id"]), lambda seen: seen["deadline"] != before["deadline"])
    assert moment_of(later["deadline"]) - moment_of(before["deadline"]) == timedelta(minutes=60)
    await until_details(team_workflow(temporal, before["team_id"]), say="extend by 60 min by ")


async def test_an_extended_team_lives_beyond_its_first_deadline(shop: Shop) -> None:
    offer = await shop.sell(target_count=2, team_ttl=2, payment_grace=0)
    opener = await offer.seat()
    await shop.settle(opener)
    first = moment_of((await shop.team(opener["team_id"]))["deadline"])
    (await shop.ops.post(f"/v1/ops/teams/{opener['team_id']}/extend", {"minutes": 60})).ok()
    await until_moment(first + timedelta(seconds=1))
    joiner = await offer.seat(team_id=opener["team_id"])
    assert (await shop.settle(joiner))["team"]["status"] == "completed"


@by_http_and_signal
async def test_complete_ends_a_team_with_who_has_paid(shop: Shop, temporal: Client, receiver: Receiver, by: str) -> None:
    offer = await shop.sell(take_limit=1)
    paid, unpaid = await offer.seats(2, callback=receiver.callback())
    await shop.settle(paid)
    await send(shop, temporal, by, paid["team_id"], "complete", {"reason": "good enough"})
    team = await shop.until_team(paid["team_id"], "completed")
    assert (team["lock_count"], team["complete_count"]) == (1, 1)
    assert (await shop.order(unpaid["out_trade_no"]))["cancel_reason"] == "team_completed"
    [callback] = await receiver.of_type("team.completed")
    assert (callback.data["completion"], callback.data["out_trade_nos"]) == ("operator", [paid["out_trade_no"]])
    await receiver.of_type("order.cancelled")
    await until_details(team_workflow(temporal, paid["team_id"]), say="good enough")


@by_http_and_signal
async def test_complete_changes_nothing_where_nobody_has_paid(shop: Shop, temporal: Client, by: str) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    await send(shop, temporal, by, order["team_id"], "complete", {}, changed=False)
    await until_details(team_workflow(temporal, order["team_id"]), say="No member has paid")
    assert (await shop.team(order["team_id"]))["status"] == "forming"
    assert await shop.order(order["out_trade_no"]) == order


@by_http_and_signal
async def test_close_fails_a_team(shop: Shop, temporal: Client, receiver: Receiver, by: str) -> None:
    offer = await shop.sell()
    paid, unpaid = await offer.seats(2, callback=receiver.callback())
    await shop.settle(paid)
    await send(shop, temporal, by, paid["team_id"], "close", {"reason": "wrong price"})
    await assert_closed(shop, receiver, paid, unpaid)


async def test_cancelling_the_workflow_of_a_forming_team_closes_it(shop: Shop, temporal: Client, receiver: Receiver) -> None:
    offer = await shop.sell()
    paid, unpaid = await offer.seats(2, callback=receiver.callback())
    await shop.settle(paid)
    await team_workflow(temporal, paid["team_id"]).cancel()
    await assert_closed(shop, receiver, paid, unpaid)


async def assert_closed(shop: Shop, receiver: Receiver, paid: Json, unpaid: Json) -> None:
    await shop.until_team(paid["team_id"], "failed")
    [team] = (await shop.ops.get("/v1/ops/teams", campaign_id=paid["campaign_id"])).ok()["data"]
    assert team["fail_reason"] == "closed"
    assert (await shop.order(unpaid["out_trade_no"]))["cancel_reason"] == "team_failed"
    [callback] = await receiver.of_type("team.failed")
    assert callback.data["reason"] == "closed"
    assert sorted(callback.data["out_trade_nos"]) == sorted([paid["out_trade_no"], unpaid["out_trade_no"]])
    await receiver.of_type("order.cancelled")


async def test_cancelling_the_workflow_of_a_completed_team_changes_nothing(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell(target_count=2)
    orders = await offer.seats(2)
    await shop.settle(*orders)
    workflow = team_workflow(temporal, orders[0]["team_id"])
    await workflow.cancel()
    await until_details(workflow, say="cancel changed nothing")
    assert (await shop.team(orders[0]["team_id"]))["status"] == "completed"
    assert (await workflow.describe()).status is WorkflowExecutionStatus.RUNNING


@by_http_and_signal
@pytest.mark.parametrize("signal", ["extend", "complete", "close"])
async def test_a_team_that_has_ended_stays_as_it_is(shop: Shop, temporal: Client, by: str, signal: str) -> None:
    offer = await shop.sell(target_count=2)
    orders = await offer.seats(2)
    await shop.settle(*orders)
    payload = {"minutes": 5} if signal == "extend" else {}
    await send(shop, temporal, by, orders[0]["team_id"], signal, payload, changed=False)
    say = "changed nothing: The team was completed already."
    await until_details(team_workflow(temporal, orders[0]["team_id"]), say=say)
    assert (await shop.team(orders[0]["team_id"]))["status"] == "completed"


@pytest.mark.parametrize("signal", ["extend", "complete", "close"])
async def test_a_team_whose_workflow_has_ended_is_answered_by_its_rows(shop: Shop, temporal: Client, signal: str) -> None:
    order = await (await shop.sell()).seat()
    await send(shop, temporal, "http", order["team_id"], "close", {})
    await team_workflow(temporal, order["team_id"]).result()
    payload = {"minutes": 5} if signal == "extend" else {}
    await send(shop, temporal, "http", order["team_id"], signal, payload, changed=False)
    assert (await audit_of(shop, f"team/{order['team_id']}"))[-1]["outcome"] == "The team was failed already."


@pytest.mark.parametrize(("signal", "status"), [("extend", "forming"), ("complete", "completed"), ("close", "failed")])
async def test_a_team_whose_workflow_was_terminated_gets_a_new_one(
    shop: Shop, temporal: Client, receiver: Receiver, signal: str, status: str
) -> None:
    offer = await shop.sell()
    paid, unpaid = await offer.seats(2, callback=receiver.callback())
    await shop.settle(paid)
    await team_workflow(temporal, paid["team_id"]).terminate("by mistake")
    payload = {"minutes": 5} if signal == "extend" else {"reason": "why not"}
    await send(shop, temporal, "http", paid["team_id"], signal, payload)
    assert (await shop.team(paid["team_id"]))["status"] == status
    if signal == "close":
        await shop.until_order(paid, "refunded")
    if signal == "extend":
        assert (await shop.settle(unpaid))["outcome"] == "settled"
    else:
        await receiver.of_type(f"team.{status}")


async def test_a_team_whose_workflow_was_terminated_is_joined_and_completes(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell(target_count=2)
    opener = await offer.seat()
    await team_workflow(temporal, opener["team_id"]).terminate("by mistake")
    last = await offer.seat(team_id=opener["team_id"])
    await shop.settle(opener, last)
    await shop.until_team(opener["team_id"], "completed")


async def test_an_act_that_meets_another_is_told_what_came_of_it(shop: Shop, temporal: Client) -> None:
    """The API's operators and one in the Temporal UI at once: one changes something, and all stand in the audit."""
    offer = await shop.sell()
    order = await offer.seat()
    await shop.settle(order)
    path = f"/v1/ops/teams/{order['team_id']}"
    workflow = team_workflow(temporal, order["team_id"])
    async with asyncio.TaskGroup() as at_once:
        acts = [at_once.create_task(shop.ops.post(f"{path}/{act}", {})) for act in ("complete", "close") * 3]
        at_once.create_task(workflow.signal("close", {"operator": "ann"}))
    answers = [act.result().ok() for act in acts]
    assert len({answer["team"]["status"] for answer in answers}) == 1
    told = await until(lambda: audit_of(shop, f"team/{order['team_id']}"), lambda seen: len(seen) == 7)
    assert [act["changed"] for act in told] == [True] + [False] * 6
    assert sorted(answer["changed"] for answer in answers) in ([False] * 5 + [True], [False] * 6)


@pytest.mark.parametrize("signal", ["extend", "complete", "close"])
async def test_an_unknown_team_is_not_found(shop: Shop, signal: str) -> None:
    payload = {"minutes": 5} if signal == "extend" else {}
    (await shop.ops.post(f"/v1/ops/teams/{fresh('team')}/{signal}", payload)).refused("team_not_found", 404)


ANY_SIGNAL = ["now", "", [], [1], [{}], 0, 7, 1.5, False, True, {"unknown": 1}, {"operator": 7}, {"operator": {}},
              {"reason": ["x"]}, {"operator": "x" * 1000}, {"": ""}]  # fmt: skip
NO_MINUTES = [None, {}, {"minutes": "60"}, {"minutes": 1.5}, {"minutes": True}, {"minutes": None}, {"minutes": 0},
              {"minutes": -5}, {"minutes": 10**9}, {"minutes": 10**30}, {"minutes": [60]}]  # fmt: skip
UNUSABLE: dict[str, list[object]] = {
    "extend": [*ANY_SIGNAL, *NO_MINUTES],
    "complete": [*ANY_SIGNAL, {"minutes": 5}, float("nan")],
    "close": [*ANY_SIGNAL, {"minutes": 5}, float("nan")],
}


@pytest.mark.parametrize("signal", UNUSABLE)
async def test_an_unusable_signal_changes_nothing_and_is_explained(shop: Shop, temporal: Client, signal: str) -> None:
    offer = await shop.sell(take_limit=1)

    async def send_to_a_team(payload: object) -> None:
        order = await offer.seat()
        await shop.settle(order)
        before = await shop.team(order["team_id"])
        workflow = team_workflow(temporal, order["team_id"])
        await workflow.signal(signal, payload)
        seen = await until(lambda: details(workflow), lambda seen: f"{signal} " in seen)
        assert f"{signal} changed nothing: " in seen, payload
        assert await shop.team(order["team_id"]) == before, payload

    await asyncio.gather(*(send_to_a_team(payload) for payload in UNUSABLE[signal]))


@pytest.mark.parametrize("payload", [{}, None], ids=["empty object", "nothing"])
async def test_a_signal_without_fields_is_enough(shop: Shop, temporal: Client, payload: Json | None) -> None:
    order = await (await shop.sell()).seat()
    workflow = team_workflow(temporal, order["team_id"])
    await workflow.signal("close", args=[] if payload is None else [payload])
    await shop.until_team(order["team_id"], "failed")


@pytest.mark.parametrize("signal", ["extend", "complete", "close", "no_such_signal"])
async def test_a_signal_of_several_inputs_leaves_the_team_alive(shop: Shop, temporal: Client, signal: str) -> None:
    offer = await shop.sell(target_count=2)
    order = await offer.seat()
    await team_workflow(temporal, order["team_id"]).signal(signal, args=["close", {"operator": "ann"}, 3])
    joiner = await offer.seat(team_id=order["team_id"])
    assert (await shop.settle(order, joiner))["team"]["status"] == "completed"
