"""What a mall reads to catch up, and how callbacks are sent again: by the mall, by operators, by signal."""

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from temporalio.client import Client

from domain.schemas.events import EventType
from embedded.demo_data import SOURCE
from embedded.ports import HOST, free_port
from embedded.stack import Stack
from tests.api.audit import audit_of
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import OTHER_SOURCE, Json, Offer, Shop, fresh, moment
from tests.api.signals import details, team_workflow, until_details
from tests.api.test_refund_operators import unanswered_question
from tests.db.callbacks.ranges import SEED

GONE = 410


async def completed(shop: Shop, callback: Json) -> str:
    """The id of a team that has just been completed."""
    orders = await (await shop.sell(target_count=2)).seats(2, callback=callback)
    await shop.settle(*orders)
    return str(orders[0]["team_id"])


async def given_up(shop: Shop, receiver: Receiver) -> tuple[str, str]:
    """A team, and its event that the mall did not want."""
    receiver.answer_to("team.completed", web.Response(status=GONE))
    before = len(receiver.received)
    team_id = await completed(shop, receiver.callback())
    event = (await receiver.of_type("team.completed", before + 1))[-1].event_id
    await until_status(shop, event, "dead")
    return team_id, event


async def callback(shop: Shop, event: str) -> Any:  # noqa: ANN401
    [found] = (await shop.ops.get("/v1/ops/callbacks", event_id=event)).ok()["data"]
    return found


async def until_status(shop: Shop, event: str, status: str) -> Any:  # noqa: ANN401
    return await until(lambda: callback(shop, event), lambda seen: seen["status"] == status)


async def last_sequence(database: asyncpg.Connection, source: str = SOURCE) -> int:
    return int(await database.fetchval("SELECT coalesce(max(sequence), 0) FROM events WHERE source = $1", source))


# --- the feed ---


async def test_the_feed_has_what_the_mall_was_told_and_in_that_order(
    shop: Shop, receiver: Receiver, database: asyncpg.Connection
) -> None:
    after = await last_sequence(database)
    offer = await shop.sell()
    seats = await offer.seats(3, callback=receiver.callback())
    (await shop.refund(seats[2])).ok(202)
    await receiver.of_type("order.cancelled")
    await completed(shop, receiver.callback())
    await receiver.of_type("team.completed")

    first = (await shop.mall.get("/v1/events", after=after, limit=1)).ok()
    rest = (await shop.mall.get("/v1/events", cursor=first["next_cursor"])).ok()

    feed = [*first["data"], *rest["data"]]
    assert rest["next_cursor"] is None
    assert [event["sequence"] for event in feed] == list(range(after + 1, after + 1 + len(feed)))
    told = sorted(receiver.received, key=lambda one: one.body["sequence"])
    assert [{"event_id": one.event_id} | one.body for one in told] == feed
    assert (await shop.mall.get("/v1/events", after=feed[-1]["sequence"])).ok() == {"data": [], "next_cursor": None}


async def test_the_feed_of_another_mall_is_its_own(shop: Shop, receiver: Receiver) -> None:
    await completed(shop, receiver.callback())
    teams = {event["data"]["team_id"] for event in (await shop.mall.get("/v1/events", limit=100)).ok()["data"]}
    others = {event["data"]["team_id"] for event in (await shop.other_mall.get("/v1/events", limit=100)).ok()["data"]}
    assert teams
    assert not teams & others


@pytest.mark.parametrize("query", [{"after": "-1"}, {"after": "x"}, {"after": str(2**63)}, {"cursor": "x"}, {"limit": "0"}])
async def test_a_feed_is_read_from_a_sequence(shop: Shop, query: dict[str, str]) -> None:
    (await shop.mall.get("/v1/events", **query)).refused("invalid_request", 422)


# --- sending again ---


async def test_a_mall_has_an_event_sent_again_that_it_took(shop: Shop, receiver: Receiver) -> None:
    await completed(shop, receiver.callback())
    [first] = await receiver.of_type("team.completed")
    await until_status(shop, first.event_id, "delivered")
    for already in (1, 2):
        assert (await shop.mall.post(f"/v1/events/{first.event_id}/resend")).ok(202) == {"count": 1}
        again = (await receiver.of_type("team.completed", already + 1))[-1]
        assert (again.event_id, again.body) == (first.event_id, first.body)
    await until_status(shop, first.event_id, "delivered")
    (await shop.other_mall.post(f"/v1/events/{first.event_id}/resend")).refused("event_not_found", 404)
    (await shop.mall.post("/v1/events/evt_unknown/resend")).refused("event_not_found", 404)
    (await shop.ops.post("/v1/ops/callbacks/evt_unknown/resend")).refused("event_not_found", 404)
    (await shop.ops.get("/v1/ops/callbacks/evt_unknown")).refused("event_not_found", 404)


async def test_what_was_given_up_is_found_with_its_attempts_and_sent_again(shop: Shop, receiver: Receiver) -> None:
    team_id, event = await given_up(shop, receiver)
    dead = (await shop.ops.get("/v1/ops/callbacks", status="dead", source=SOURCE, type="team.completed")).ok()["data"]
    found = dead[0]
    assert (found["event_id"], found["team_id"], found["attempts"]) == (event, team_id, 1)
    assert (found["last_status"], found["last_error"]) == (GONE, "answered 410")
    metrics = (await shop.ops.get("/metrics")).ok().decode()
    assert 'groupbuy_callbacks{status="dead"}' in metrics
    assert "groupbuy_callbacks_oldest_pending_seconds" in metrics

    sent = (await shop.ops.post(f"/v1/ops/callbacks/{event}/resend")).ok()
    assert (sent["changed"], sent["detail"], sent["callback"]["event_id"]) == (True, "It is sent again.", event)
    [told] = await audit_of(shop, f"callback/{event}")
    assert (told["action"], told["changed_by"], told["via"], told["changed"]) == ("resend", "demo operator", "api", True)

    await until_status(shop, event, "delivered")
    history = (await shop.ops.get(f"/v1/ops/callbacks/{event}")).ok()
    assert [(attempt["http_status"], attempt["error"]) for attempt in history["attempts"]] == [
        (410, "answered 410"),
        (200, None),
    ]
    assert all(attempt["started_at"] and attempt["duration_ms"] >= 0 for attempt in history["attempts"])
    assert history["data"]["team_id"] == team_id
    assert [delivery["status"] for delivery in history["deliveries"]] == ["delivered"]


async def test_all_that_a_mall_missed_in_a_time_is_sent_again(shop: Shop, receiver: Receiver) -> None:
    since = moment()
    events = [(await given_up(shop, receiver))[1] for _ in range(3)]
    wanted = {"source": SOURCE, "since": since, "until": moment()}
    elsewhere = (await shop.ops.post("/v1/ops/callbacks/resend", {**wanted, "source": OTHER_SOURCE})).ok(202)
    assert (elsewhere["count"], elsewhere["workflow"]) == (0, None)
    assert (await shop.ops.post("/v1/ops/callbacks/resend", wanted)).ok(202)["count"] == 3
    for event in events:
        await until_status(shop, event, "delivered")
    # A request while that is under way joins it.
    await until(lambda: shop.ops.post("/v1/ops/callbacks/resend", wanted), lambda answer: answer.ok(202)["count"] == 0)
    assert {one.event_id for one in await receiver.of_type("team.completed", 6)} == set(events)


async def test_hundreds_that_a_mall_missed_are_sent_again_with_progress(
    shop: Shop, receiver: Receiver, database: asyncpg.Connection, temporal: Client
) -> None:
    since, name = datetime.now(UTC) - timedelta(days=1), fresh("missed")
    await database.execute(SEED, name, SOURCE, since, 500, "dead", receiver.callback()["url"])
    wanted = {"source": SOURCE, "since": since.isoformat(), "until": (since + timedelta(hours=1)).isoformat()}

    begun, joined = [(await shop.ops.post("/v1/ops/callbacks/resend", wanted)).ok(202) for _ in range(2)]

    assert (begun["count"], begun["finished_at"], begun["requested_by"]) == (500, None, "demo operator")
    assert joined["redelivery_id"] == begun["redelivery_id"]
    told = await audit_of(shop, f"redelivery/{begun['redelivery_id']}")
    assert [(act["action"], act["changed_by"], act["changed"]) for act in told] == [
        ("resend", "demo operator", True),
        ("resend", "demo operator", False),
    ]
    assert told[0]["outcome"].startswith("500 dead event(s) of s01 from ")
    assert told[1]["outcome"].endswith(" is under way already.")
    path = f"/v1/ops/callbacks/resend/{begun['redelivery_id']}"
    done = await until(lambda: shop.ops.get(path), lambda answer: answer.ok()["finished_at"] is not None, 60)
    counts = {"count": 500, "resent": 500, "delivered": 500, "pending": 0, "dead": 0, "refunds": 0}
    assert done.body == {**begun, **counts, "finished_at": done.body["finished_at"]}
    sent = Counter(one.event_id for one in receiver.received if one.event_id.startswith(f"evt_{name}"))
    assert set(sent.values()) == {1}
    assert len(sent) == 500
    workflow = temporal.get_workflow_handle(begun["workflow"]["id"])
    assert await workflow.result() == "500 delivered, 0 dead, of 500 event(s)"
    assert "**500** of 500 event(s) are sent again: done." in await details(workflow)
    (await shop.ops.get("/v1/ops/callbacks/resend/999999")).refused("redelivery_not_found", 404)


async def test_a_signal_to_a_team_sends_again_what_was_given_up(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    team_id, event = await given_up(shop, receiver)
    workflow = team_workflow(temporal, team_id)
    await until_details(workflow, say="1 callback(s) could not be delivered")
    await workflow.signal("resend_callbacks", {"operator": "ann"})
    await until_status(shop, event, "delivered")
    assert "resend_callbacks by ann (no reason given): 1 event(s) are sent again" in await details(workflow)
    await workflow.signal("resend_callbacks", {"operater": "ann"})
    await until_details(workflow, say="resend_callbacks changed nothing: operater")


async def test_a_refund_s_question_that_is_sent_again_goes_on_in_its_workflow(
    shop: Shop, receiver: Receiver, database: asyncpg.Connection
) -> None:
    order = await unanswered_question(shop, receiver)
    question = await database.fetchval("SELECT question FROM refunds WHERE order_id = $1", order["order_id"])
    assert (await shop.mall.post(f"/v1/events/{question}/resend")).ok(202) == {"count": 1}
    await shop.until_order(order, "refunded")
    assert (await shop.mall.post(f"/v1/events/{question}/resend")).ok(202) == {"count": 0}


# --- samples ---


@pytest.mark.parametrize("kind", list(EventType))
async def test_a_sample_of_any_type_is_signed_and_the_reply_is_shown(shop: Shop, receiver: Receiver, kind: str) -> None:
    receiver.answer_first(web.Response(status=202, text="thank you"))
    reply = (await shop.mall.post("/v1/events/test", {"type": kind, "callback": receiver.callback()})).ok()
    [sample] = await receiver.of_type(kind)
    assert (reply["delivered"], reply["http_status"], reply["error"], reply["body"]) == (True, 202, None, "thank you")
    assert reply["event_id"] == sample.event_id
    assert sample.body["sequence"] == 0


async def test_what_a_sample_meets_is_said(shop: Shop, receiver: Receiver, database: asyncpg.Connection) -> None:
    events = await database.fetchval("SELECT count(*) FROM events")

    async def send(callback: Json) -> Any:  # noqa: ANN401
        return (await shop.mall.post("/v1/events/test", {"type": "team.failed", "callback": callback})).ok()

    receiver.answer_first(web.Response(status=500, text="oops"))
    said = await send(receiver.callback())
    assert (said["delivered"], said["http_status"], said["error"], said["body"]) == (False, 500, "answered 500", "oops")
    away = await send({"kind": "http", "url": f"http://{HOST}:{free_port()}/"})
    assert (away["delivered"], away["http_status"]) == (False, None)
    queue = await send({"kind": "amqp", "routing_key": "s01.x"})
    assert queue["error"] == "no broker is configured for amqp callbacks"
    assert await database.fetchval("SELECT count(*) FROM events") == events


@pytest.mark.parametrize(
    "sample",
    [
        {"type": "team.failed"},
        {"type": "team.failed", "callback": {"kind": "http", "url": "http://example.com/"}},
        {"type": "team.failed", "callback": {"kind": "http", "url": f"http://ann:secret@{HOST}/"}},
        {"type": "team.unknown"},
        {},
    ],
)
async def test_a_sample_goes_where_the_mall_may_be_called(shop: Shop, sample: Json) -> None:
    problem = (await shop.other_mall.post("/v1/events/test", sample)).refused("invalid_request", 422)
    assert "secret" not in str(problem)


# --- a mall that hangs ---


@asynccontextmanager
async def hanging(port: int) -> AsyncIterator[list[float]]:
    """A mall that takes every request and says nothing; at the end it wants none of them again. Yields when they came."""
    came: list[float] = []
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        came.append(time.monotonic())
        await over.wait()
        return web.Response(status=GONE)

    app = web.Application()
    app.router.add_post("/{path:.*}", hang)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    try:
        yield came
    finally:
        over.set()
        await runner.cleanup()


async def test_a_mall_that_hangs_delays_no_other_mall_and_no_lock(
    shop: Shop, receiver: Receiver, database: asyncpg.Connection
) -> None:
    port, teams = free_port(), 40
    offer = await shop.sell(target_count=1 + 1, take_limit=100, also_sold_by=[OTHER_SOURCE])
    theirs = Offer(dataclasses.replace(shop, mall=shop.other_mall), offer.goods_id, offer.campaign_id)
    to_nowhere = {"kind": "http", "url": f"http://{HOST}:{port}/"}

    async def complete() -> None:
        await theirs.shop.settle(*await theirs.seats(2, callback=to_nowhere))

    async with hanging(port) as came:
        for _ in range(teams // 8):
            await asyncio.gather(*(complete() for _ in range(8)))

        async def requests() -> int:
            return len(came)

        await until(requests, lambda count: count >= 20)
        began = time.monotonic()
        for number in range(1, 6):
            await completed(shop, receiver.callback())
            await receiver.of_type("team.completed", number)
        # Had one of them waited for the mall that hangs, it would have taken 15 s.
        assert time.monotonic() - began < 15
        assert len(came) <= 20

    async def left() -> int:
        return int(
            await database.fetchval(
                "SELECT count(*) FROM deliveries JOIN events USING (event_id) WHERE source = $1 AND status = 'pending'",
                OTHER_SOURCE,
            )
        )

    await database.execute(
        "UPDATE deliveries SET status = 'dead', finished_at = now() FROM events e"
        " WHERE e.event_id = deliveries.event_id AND e.source = $1 AND status = 'pending'",
        OTHER_SOURCE,
    )
    await until(left, lambda pending: pending == 0)


# --- secrets ---


async def test_no_secret_is_in_a_log_a_history_or_an_answer(
    stack: Stack, shop: Shop, receiver: Receiver, temporal: Client
) -> None:
    team_id, event = await given_up(shop, receiver)
    (await shop.ops.post(f"/v1/ops/callbacks/{event}/resend")).ok()
    await until_status(shop, event, "delivered")
    sample = (await shop.mall.post("/v1/events/test", {"type": "team.failed", "callback": receiver.callback()})).ok()

    said = [(await shop.ops.get(path)).body for path in ("/v1/ops/callbacks", f"/v1/ops/callbacks/{event}", "/metrics")]
    said += [(await shop.mall.get("/v1/events", limit=100)).body, sample]
    for workflow_id in (f"team-{team_id}", f"callback-{event}", f"callback-{sample['event_id']}"):
        said.append((await temporal.get_workflow_handle(workflow_id).fetch_history()).to_json())
    said += [stack.part(name).log.read_text() for name in ("api", "worker-1")]

    keys = (stack.addresses.webhook_secret, stack.addresses.mall_key, stack.addresses.ops_key)
    secrets = [*keys, keys[0].removeprefix("whsec_")]
    assert [secret for secret in secrets if any(secret in str(text) for text in said)] == []
