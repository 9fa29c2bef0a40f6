"""Refunds that wait for a person, and everything that an operator can do to one: over HTTP and with Temporal's own tools."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, ScheduleOverlapPolicy, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from tests.api.audit import audit_of
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Shop, fresh, now
from tests.api.signals import Handle, details, team_workflow, until_details
from workflows.markdown import quote
from workflows.schedules import RECONCILIATION_ID
from workflows.task_queues import REFUNDS_QUEUE

GONE = 410
by_http_and_signal = pytest.mark.parametrize("by", ["http", "signal"])


def refund_workflow(temporal: Client, order: Json, attempt: int = 1) -> Handle:
    return temporal.get_workflow_handle(f"refund-{order['order_id']}-{attempt}")


async def send(shop: Shop, temporal: Client, by: str, order: Json, signal: str, payload: Json, *, changed: bool = True) -> Json:
    """Does an act in either way; what came of it stands in the audit, with who did it. Returns the API's answer."""
    subject, done = f"refund/{order['order_id']}", {}
    before = len(await audit_of(shop, subject))
    if by == "http":
        path = {"decide": "decision"}.get(signal, signal)
        done = (await shop.ops.post(f"/v1/ops/refunds/{order['order_id']}/{path}", payload)).ok()
        assert (done["changed"], done["refund"]["order_id"]) == (changed, order["order_id"])
    else:
        await refund_workflow(temporal, order).signal(signal, {**payload, "operator": "ann"})
    told = await until(lambda: audit_of(shop, subject), lambda seen: len(seen) > before)
    assert len(told) == before + 1
    act = told[-1]
    who = ("demo operator", "api", True, True) if by == "http" else ("ann", "signal", False, False)
    assert (act["changed_by"], act["via"], act["key_id"] is not None, act["request_id"] is not None) == who
    assert (act["action"], act["reason"], act["changed"]) == (signal, payload.get("note"), changed)
    if by == "http":
        assert act["outcome"] == done["detail"]
    return done


async def ended(workflow: Handle, status: WorkflowExecutionStatus = WorkflowExecutionStatus.COMPLETED) -> None:
    async def look() -> WorkflowExecutionStatus | None:
        return (await workflow.describe()).status

    await until(look, lambda seen: seen is status)


async def unanswered_question(shop: Shop, receiver: Receiver) -> Json:
    """A member of a completed team who wants to leave, and a mall that is gone: the refund waits for a person."""
    offer = await shop.sell(target_count=2)
    orders = await offer.seats(2, callback=receiver.callback())
    await shop.settle(*orders)
    await receiver.of_type("team.completed")
    receiver.answer_to("order.refund_requested", web.Response(status=GONE))
    (await shop.refund(orders[0])).ok(202)
    await shop.until_refund(orders[0], "attention")
    return orders[0]


async def untold_refund(shop: Shop, receiver: Receiver) -> Json:
    """A seat that was given back, and a mall that does not want to hear of it."""
    offer = await shop.sell()
    order, _ = await offer.seats(2, callback=receiver.callback())
    await shop.settle(order)
    receiver.answer_to("order.refunded", web.Response(status=GONE))
    (await shop.refund(order)).ok(202)
    await shop.until_refund(order, "attention")
    return order


async def untold_cancellation(shop: Shop, receiver: Receiver) -> Json:
    """A seat that was given up unpaid, and a mall that does not want to hear of it."""
    offer = await shop.sell()
    _, order = await offer.seats(2, callback=receiver.callback())
    receiver.answer_to("order.cancelled", web.Response(status=GONE))
    assert (await shop.refund(order)).ok(202)["status"] == "done"
    await until(lambda: attention(shop, order), bool)
    return order


async def attention(shop: Shop, order: Json) -> list[Json]:
    found = (await shop.ops.get("/v1/ops/attention", limit=100)).ok()["data"]
    return [one for one in found if one["out_trade_no"] == order["out_trade_no"]]


async def owed(shop: Shop, order: Json) -> list[str]:
    """Whose money waits to go back, of this order's team."""
    found = (await shop.ops.get("/v1/ops/orders", team_id=order["team_id"], owed="true")).ok()["data"]
    return [one["out_trade_no"] for one in found]


async def flagged(temporal: Client, workflow: Handle) -> bool:
    query = f"NeedsAttention = true AND WorkflowId = '{workflow.id}'"
    return [one async for one in temporal.list_workflows(query)] != []


# --- attention ---


async def test_an_unanswered_question_waits_for_a_person_who_finds_it(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    order = await unanswered_question(shop, receiver)
    assert (await shop.order(order["out_trade_no"]))["status"] == "refunding"
    assert (await shop.team(order["team_id"]))["complete_count"] == 2
    [waiting] = await attention(shop, order)
    assert (waiting["kind"], waiting["subject"], waiting["source"]) == ("refund", order["order_id"], "s01")
    listed = (await shop.ops.get("/v1/ops/refunds", status="attention", team_id=order["team_id"])).ok()["data"]
    assert [refund["order_id"] for refund in listed] == [order["order_id"]]
    workflow = refund_workflow(temporal, order)
    await until(lambda: flagged(temporal, workflow), bool)
    await until_details(workflow, say="It waits for resend, close_manually or decide.")
    (await shop.ops.post(f"/v1/ops/refunds/{order['order_id']}/decision", {"approve": True})).ok()
    await shop.until_order(order, "refunded")
    await ended(workflow)
    assert await attention(shop, order) == []
    await until(lambda: flagged(temporal, workflow), lambda seen: not seen)


@by_http_and_signal
@pytest.mark.parametrize("approve", [True, False])
async def test_decide_answers_for_the_mall(shop: Shop, receiver: Receiver, temporal: Client, by: str, approve: bool) -> None:
    order = await unanswered_question(shop, receiver)
    done = await send(shop, temporal, by, order, "decide", {"approve": approve, "note": "they said so on the phone"})
    if by == "http" and not approve:
        assert done["refund"]["status"] == "rejected"
    await shop.until_order(order, "refunded" if approve else "paid")
    [refund] = (await shop.ops.get("/v1/ops/refunds", out_trade_no=order["out_trade_no"])).ok()["data"]
    assert refund["answer"] == ("agreed" if approve else "vetoed")
    assert refund["operator"] == ("demo operator" if by == "http" else "ann")
    assert refund["note"] == "they said so on the phone"
    team = await shop.team(order["team_id"])
    assert (team["status"], team["complete_count"]) == (("completed_with_refunds", 1) if approve else ("completed", 2))
    workflow = refund_workflow(temporal, order)
    await ended(workflow, WorkflowExecutionStatus.COMPLETED if approve else WorkflowExecutionStatus.FAILED)
    who = f"decide by {quote(refund['operator'])} ({quote(refund['note'])})"
    assert f"{who}: The refund is {refund['answer']} in the mall's place." in await details(workflow)


@by_http_and_signal
async def test_resend_asks_again(shop: Shop, receiver: Receiver, temporal: Client, by: str) -> None:
    order = await unanswered_question(shop, receiver)
    assert await owed(shop, order) == [order["out_trade_no"]]
    await send(shop, temporal, by, order, "resend", {})
    await shop.until_order(order, "refunded")
    assert await owed(shop, order) == []
    first, second = await receiver.of_type("order.refund_requested", 2)
    assert first.event_id == second.event_id
    assert len(receiver.received) == 4  # completed, asked twice, refunded


@by_http_and_signal
async def test_resend_tells_again(shop: Shop, receiver: Receiver, temporal: Client, by: str) -> None:
    order = await untold_refund(shop, receiver)
    assert (await shop.order(order["out_trade_no"]))["status"] == "refunding"
    await send(shop, temporal, by, order, "resend", {})
    await shop.until_order(order, "refunded")
    first, second = await receiver.of_type("order.refunded", 2)
    assert first.event_id == second.event_id


@by_http_and_signal
@pytest.mark.parametrize("asked", [True, False])
async def test_close_manually_ends_any_kind(shop: Shop, receiver: Receiver, temporal: Client, by: str, asked: bool) -> None:
    order = await (unanswered_question if asked else untold_refund)(shop, receiver)
    done = await send(shop, temporal, by, order, "close_manually", {"note": "by mail"})
    if by == "http":
        assert done["refund"]["status"] == "done"
    await shop.until_order(order, "refunded")
    await ended(refund_workflow(temporal, order))
    [refund] = (await shop.ops.get("/v1/ops/refunds", out_trade_no=order["out_trade_no"])).ok()["data"]
    assert (refund["status"], refund["note"]) == ("done", "by mail")
    assert await attention(shop, order) == []


@by_http_and_signal
@pytest.mark.parametrize("how", ["resend", "close_manually"])
async def test_an_unpaid_refund_that_the_mall_did_not_take_is_resent_or_closed(
    shop: Shop, receiver: Receiver, temporal: Client, by: str, how: str
) -> None:
    order = await untold_cancellation(shop, receiver)
    workflow = refund_workflow(temporal, order)
    [waiting] = await attention(shop, order)
    assert (waiting["kind"], waiting["subject"], waiting["workflow"]["id"]) == ("refund", order["order_id"], workflow.id)
    await until_details(workflow, say="tell the mall: it did not take it. It waits for resend, close_manually.")
    await send(shop, temporal, by, order, how, {})
    await ended(workflow)
    assert await attention(shop, order) == []
    assert len(await receiver.of_type("order.cancelled")) == 1 + (how == "resend")
    await until(lambda: flagged(temporal, workflow), lambda seen: not seen)
    late = await send(shop, temporal, "http", order, how, {}, changed=False)
    assert late["detail"] == "The order is cancelled, and the mall was told."


async def test_without_a_broker_a_refund_waits_and_nothing_else_does(shop: Shop) -> None:
    offer = await shop.sell(target_count=2, stock=2)
    queue = {"kind": "amqp", "routing_key": "s01.orders"}
    orders = await offer.seats(2, callback=queue)
    await shop.settle(*orders)
    assert (await shop.refund(orders[0])).ok(202)["kind"] == "paid_formed"
    await shop.until_refund(orders[0], "attention")
    team = await shop.team(orders[0]["team_id"])
    assert (team["status"], team["lock_count"]) == ("completed_with_refunds", 1)
    assert (await offer.quote(user_id=orders[0]["user_id"]))["joinable"]
    (await shop.ops.post(f"/v1/ops/refunds/{orders[0]['order_id']}/close_manually", {"note": "by phone"})).ok()
    await shop.until_order(orders[0], "refunded")


async def test_there_is_nothing_to_decide_where_no_refund_is_under_way(shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    path = f"/v1/ops/refunds/{order['order_id']}"
    (await shop.ops.post(f"{path}/decision", {"approve": True})).refused("refund_not_found", 404)
    (await shop.ops.post(f"{path}/resend")).refused("refund_not_found", 404)
    (await shop.ops.post("/v1/ops/refunds/nothing/close_manually")).refused("order_not_found", 404)
    (await shop.ops.post(f"{path}/decision", {})).refused("invalid_request", 422)
    (await shop.ops.post(f"{path}/decision", {"approve": "yes"})).refused("invalid_request", 422)


# --- bad payloads ---


NO_JSON = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b'{"approve": true'))
NO_ENCODING = RawValue(Payload(metadata={"encoding": b"morse"}, data=b"..."))
UNUSABLE = ["yes", ["a"], 7, {}, {"approve": "yes"}, {"approve": True, "unknown": 1}, NO_JSON]


@pytest.mark.parametrize("payload", UNUSABLE, ids=lambda payload: "no JSON" if payload is NO_JSON else str(payload))
async def test_an_unusable_decision_changes_nothing_and_is_explained(
    shop: Shop, receiver: Receiver, temporal: Client, payload: object
) -> None:
    order = await unanswered_question(shop, receiver)
    workflow = refund_workflow(temporal, order)
    await workflow.signal("decide", payload)
    await until_details(workflow, say="decide changed nothing")
    assert (await shop.order(order["out_trade_no"]))["status"] == "refunding"
    await workflow.signal("decide", args=[{"approve": True}, {"approve": False}])
    await until_details(workflow, say="one JSON object is expected, not several")
    await workflow.signal("decide", {"approve": True})
    await shop.until_order(order, "refunded")


async def test_nobody_decides_where_nobody_is_asked(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    order = await untold_refund(shop, receiver)
    workflow = refund_workflow(temporal, order)
    await workflow.signal("decide", {"approve": False})
    await until_details(workflow, say="decide by an operator (no reason given) changed nothing: The mall is not being asked.")
    await send(shop, temporal, "http", order, "decide", {"approve": True}, changed=False)
    await workflow.signal("resend")
    await shop.until_order(order, "refunded")
    late = await send(shop, temporal, "http", order, "close_manually", {"note": "too late"}, changed=False)
    assert (late["detail"], late["refund"]["status"]) == ("The refund is done already.", "done")


async def test_of_two_acts_at_once_each_is_told_what_came_of_it(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    order = await unanswered_question(shop, receiver)
    path = f"/v1/ops/refunds/{order['order_id']}"
    async with asyncio.TaskGroup() as at_once:
        acts = [at_once.create_task(shop.ops.post(f"{path}/decision", {"approve": yes})) for yes in (True, False) * 2]
        acts += [at_once.create_task(shop.ops.post(f"{path}/close_manually", {})) for _ in range(2)]
        at_once.create_task(refund_workflow(temporal, order).signal("decide", {"approve": False, "operator": "ann"}))
    answers = [act.result().ok() for act in acts]
    told = await until(lambda: audit_of(shop, f"refund/{order['order_id']}"), lambda seen: len(seen) == 7)
    assert 1 <= [act["changed"] for act in told].count(True) <= 2  # an answer, and a close that followed
    assert {answer["detail"] for answer in answers} <= {act["outcome"] for act in told}
    await until(lambda: shop.order(order["out_trade_no"]), lambda seen: seen["status"] in {"refunded", "paid"})


async def test_the_mall_s_resend_of_a_refund_s_event_says_who_it_was(shop: Shop, receiver: Receiver) -> None:
    order = await untold_refund(shop, receiver)
    [event] = (await shop.ops.get("/v1/ops/callbacks", type="order.refunded", status="dead", limit=1)).ok()["data"]
    assert event["out_trade_no"] == order["out_trade_no"]
    assert (await shop.mall.post(f"/v1/events/{event['event_id']}/resend")).ok(202) == {"count": 1}
    [act] = await audit_of(shop, f"refund/{order['order_id']}")
    assert (act["action"], act["changed_by"], act["changed"]) == ("resend", "mall s01", True)
    await shop.until_order(order, "refunded")
    again = (await shop.ops.post(f"/v1/ops/callbacks/{event['event_id']}/resend")).ok()
    assert (again["changed"], again["detail"]) == (True, "It is sent again.")  # the refund is done: the event alone


# --- a refund by hand ---


async def test_a_refund_can_be_started_by_hand(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    offer = await shop.sell()
    order, _ = await offer.seats(2, callback=receiver.callback())
    await shop.settle(order)
    by_hand = {"source": "s01", "out_trade_no": order["out_trade_no"], "reason": "a call", "operator": "ann"}
    result = await temporal.execute_workflow("RefundWorkflow", by_hand, id=fresh("by-hand"), task_queue=REFUNDS_QUEUE)
    assert result == "paid_unformed: done"
    refund = (await shop.refund(order)).body
    assert (refund["status"], refund["reason"]) == ("done", "a call")
    assert (await temporal.execute_workflow("RefundWorkflow", by_hand, id=fresh("by-hand"), task_queue=REFUNDS_QUEUE)) == result
    assert len(await receiver.of_type("order.refunded")) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "source: Field required"),
        (["T1"], "Input should be a valid dictionary"),
        ([{"source": "s01"}], "out_trade_no: Field required"),
        ([{"source": "s01", "out_trade_no": 5}], "out_trade_no: Input should be a valid string"),
        ([{"source": "s01", "out_trade_no": "x", "force": "yes"}], "force: Input should be a valid boolean"),
        (["s01", "T1"], "one JSON object is expected, not several"),
        ([{"source": "s01", "out_trade_no": "x"}, NO_JSON, {}], "one JSON object is expected, not several"),
        ([NO_JSON], "the payload: it is not JSON"),
        ([NO_ENCODING], "the payload: it is not JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_unusable_start_fails_at_once_and_says_why(temporal: Client, arguments: list[Any], says: str) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        await temporal.execute_workflow("RefundWorkflow", args=arguments, id=fresh("by-hand"), task_queue=REFUNDS_QUEUE)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "UnusableInput"
    assert says in failed.value.cause.message


async def test_a_start_by_hand_that_is_refused_says_why(temporal: Client) -> None:
    number = fresh("trade")
    by_hand = {"source": "s01", "out_trade_no": number}
    with pytest.raises(WorkflowFailureError) as failed:
        await temporal.execute_workflow("RefundWorkflow", by_hand, id=fresh("by-hand"), task_queue=REFUNDS_QUEUE)
    assert isinstance(failed.value.cause, ApplicationError)
    assert (failed.value.cause.type, failed.value.cause.message) == ("order_not_found", f"There is no order {number}.")


async def test_a_team_s_workflow_takes_the_signal_refund(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    offer = await shop.sell()
    opener, order = await offer.seats(2, callback=receiver.callback())
    await shop.settle(order)
    workflow = team_workflow(temporal, order["team_id"])
    number = order["out_trade_no"]
    await workflow.signal("refund", {"out_trade_no": number, "reason": "a call", "operator": "ann"})
    await shop.until_order(order, "refunded")
    says = f"refund of {number} by ann (`a call`): Refund 1 of this order has a workflow of its own."
    await until_details(workflow, say=says)
    [refund] = (await shop.ops.get("/v1/ops/refunds", out_trade_no=number)).ok()["data"]
    assert (refund["operator"], refund["reason"]) == ("ann", "a call")
    await workflow.signal("refund", {"out_trade_no": number})
    await until_details(workflow, say="The order is refunded already.")
    told = await audit_of(shop, f"refund/{order['order_id']}")
    assert [(act["action"], act["changed_by"], act["via"], act["changed"]) for act in told] == [
        ("refund", "ann", "signal", True),
        ("refund", "an operator", "signal", False),
    ]
    await workflow.signal("refund", {"out_trade_no": "nobody's"})
    await until_details(workflow, say="This team has no such order.")
    await workflow.signal("refund", {"reason": "no number"})
    await until_details(workflow, say="refund changed nothing: out_trade_no: Field required.")
    assert (await shop.order(opener["out_trade_no"]))["status"] == "locked"


# --- cancel, terminate, reset ---


async def test_a_cancel_while_the_mall_is_asked_is_a_veto(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    order = await unanswered_question(shop, receiver)
    workflow = refund_workflow(temporal, order)
    await workflow.cancel()
    await shop.until_refund(order, "rejected")
    assert (await shop.order(order["out_trade_no"]))["status"] == "paid"
    [act] = await audit_of(shop, f"refund/{order['order_id']}")
    assert (act["action"], act["via"], act["reason"]) == ("decide", "signal", "The workflow was cancelled.")
    await ended(workflow, WorkflowExecutionStatus.FAILED)


async def test_a_cancel_while_the_mall_is_told_is_refused_and_flagged(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    order = await untold_refund(shop, receiver)
    workflow = refund_workflow(temporal, order)
    await workflow.cancel()
    await until_details(workflow, say="cancel was refused")
    await until(lambda: flagged(temporal, workflow), bool)
    await workflow.signal("resend", {"operator": "ann"})
    await shop.until_order(order, "refunded")
    await ended(workflow)


async def reconcile(temporal: Client) -> None:
    """Lets reconciliation run once more, also where it runs at this moment and has passed what it is to find."""
    await temporal.get_schedule_handle(RECONCILIATION_ID).trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE)


async def test_a_refund_whose_workflow_was_terminated_is_taken_up_again(
    shop: Shop, receiver: Receiver, temporal: Client, database: asyncpg.Connection
) -> None:
    order = await unanswered_question(shop, receiver)
    await refund_workflow(temporal, order).terminate("by mistake")
    await database.execute(
        "UPDATE refunds SET checked_at = $2 WHERE order_id = $1", order["order_id"], now() - timedelta(minutes=3)
    )
    await reconcile(temporal)
    await ended(refund_workflow(temporal, order), WorkflowExecutionStatus.RUNNING)
    await refund_workflow(temporal, order).signal("decide", {"approve": True})
    await shop.until_order(order, "refunded")


@pytest.mark.parametrize(
    ("word", "payload", "status"),
    [
        ("resend", {}, "refunded"),
        ("decision", {"approve": True}, "refunded"),
        ("decision", {"approve": False}, "paid"),
        ("close_manually", {}, "refunded"),
    ],
)
async def test_an_operator_s_word_revives_a_terminated_refund(
    shop: Shop, receiver: Receiver, temporal: Client, word: str, payload: Json, status: str
) -> None:
    order = await unanswered_question(shop, receiver)
    await refund_workflow(temporal, order).terminate("by mistake")
    assert (await shop.ops.post(f"/v1/ops/refunds/{order['order_id']}/{word}", payload)).ok()["changed"]
    await shop.until_order(order, status)
    assert len(await receiver.of_type("order.refund_requested")) == 1 + (word == "resend")


async def test_a_reset_refund_ends_as_its_rows_say(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    offer = await shop.sell()
    order, _ = await offer.seats(2, callback=receiver.callback())
    await shop.settle(order)
    (await shop.refund(order)).ok(202)
    await shop.until_order(order, "refunded")
    workflow = refund_workflow(temporal, order)
    await ended(workflow)
    await temporal.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow.id),
            workflow_task_finish_event_id=4,
            request_id=fresh("reset"),
            reason="a test",
        )
    )
    assert await temporal.get_workflow_handle(workflow.id).result() == "paid_unformed: done"
    assert len(await receiver.of_type("order.refunded")) == 1
    assert (await shop.order(order["out_trade_no"]))["status"] == "refunded"


async def test_paid_members_of_a_team_that_failed_without_a_workflow_get_their_money(
    shop: Shop, receiver: Receiver, temporal: Client, database: asyncpg.Connection
) -> None:
    offer = await shop.sell(lock_ttl=1, payment_grace=0)
    order, _ = await offer.seats(2, callback=receiver.callback())
    await shop.settle(order)
    await team_workflow(temporal, order["team_id"]).terminate("by mistake")
    await database.execute("UPDATE teams SET deadline = $2 WHERE team_id = $1", order["team_id"], now() - timedelta(minutes=5))
    await database.execute(
        "UPDATE orders SET lock_expires_at = $2 WHERE team_id = $1", order["team_id"], now() - timedelta(minutes=5)
    )
    await reconcile(temporal)
    await shop.until_team(order["team_id"], "failed")
    await shop.until_order(order, "refunded")


async def test_a_refund_reads_in_the_temporal_ui(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    order = await untold_refund(shop, receiver)
    workflow = refund_workflow(temporal, order)
    shown = await details(workflow)
    assert f"Order **{order['out_trade_no']}** of s01." in shown
    assert "| 1 | paid_unformed | attention | free | not asked |" in shown
    query = f"Mall = 's01' AND OutTradeNo = '{order['out_trade_no']}' AND RefundKind = 'paid_unformed'"

    async def listed() -> list[str]:
        return [one.id async for one in temporal.list_workflows(f"{query} AND RefundStatus = 'attention'")]

    await until(listed, lambda seen: seen == [workflow.id])
    described = await workflow.describe()
    assert await described.static_summary() == f"Refund 1 of order {order['out_trade_no']}, mall s01"
    await workflow.signal("close_manually", {"operator": "ann"})
    await ended(workflow)
