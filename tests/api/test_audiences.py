"""Audiences over HTTP: made, filled by upload and by rule, and never half replaced."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from aiohttp import ClientError
from starlette.types import Message, Receive, Scope, Send
from temporalio.client import Client

from api.http import middleware
from api.http.middleware import BODY_LIMIT, RequestMiddleware
from api.services.audiences import AudienceService
from db.core.connection import Database
from domain.audience_upload import UploadFormat
from domain.messages.acts import command_line_author as author
from embedded.stack import Stack
from tests.api.caller import Answer
from tests.api.polling import until
from tests.api.shop import Shop, campaign_of, fresh, moment
from workflows.client import data_converter

BATCH = 10_000
"""users after which progress is written"""


async def made(shop: Shop, *members: str) -> str:
    """The path of a new audience with these members."""
    path = f"/v1/ops/audiences/{fresh('audience')}"
    (await shop.ops.put(path, {"name": "Best buyers"})).ok()
    if members:
        (await upload(shop, path, "\n".join(members).encode())).ok()
    return path


async def upload(shop: Shop, path: str, body: bytes | AsyncIterator[bytes], content_type: str = "text/csv") -> Answer:
    return await shop.ops.call("POST", f"{path}/members", headers={"Content-Type": content_type}, data=body)


async def is_member(shop: Shop, path: str, user_id: str) -> bool:
    return bool((await shop.ops.get(f"{path}/members/{user_id}")).ok()["member"])


async def test_an_audience_is_made_renamed_filled_and_read(shop: Shop) -> None:
    path = await made(shop)
    audience_id = path.rpartition("/")[2]
    renamed = (await shop.ops.put(path, {"name": "VIP 会员"})).ok()
    assert (renamed["name"], renamed["member_count"], renamed["filling"]) == ("VIP 会员", 0, None)

    filling = (await upload(shop, path, b"\xef\xbb\xbfuser_id\r\nu1\r\nu 2\r\nu3\r\nu1\r\n", "text/csv; charset=utf-8")).ok()

    reason = "'u 2' is no user id: up to 64 letters, digits and . _ : @ -"
    expected = {"kind": "upload", "status": "done", "seen": 5, "accepted": 3, "bad": 1, "duplicates": 1, "member_count": 2}
    assert {name: filling[name] for name in expected} == expected
    assert filling["report"] == [{"line": 3, "reason": reason}]
    assert [await is_member(shop, path, user) for user in ("u1", "u3", "u2", "user_id")] == [True, True, False, False]
    audience = (await shop.ops.get(path)).ok()
    assert (audience["audience_id"], audience["member_count"], audience["filling"]) == (audience_id, 2, filling)
    listed = {**audience, "filling": {**filling, "report": []}}
    assert (await shop.ops.get("/v1/ops/audiences", limit=1)).ok()["data"] == [listed]


@pytest.mark.parametrize("content_type", ["application/jsonl", "application/x-ndjson"])
async def test_json_lines_replace_the_former_members(shop: Shop, content_type: str, database: Any) -> None:  # noqa: ANN401
    path = await made(shop, "former", "u2")

    filling = (await upload(shop, path, b'{"user_id": "u1"}\n"u2"\n{"user": 3}\n', content_type)).ok()

    assert (filling["accepted"], filling["bad"], filling["member_count"]) == (2, 1, 2)
    assert [await is_member(shop, path, user) for user in ("u1", "u2", "former")] == [True, True, False]

    async def kept() -> Any:  # noqa: ANN401
        return await database.fetchval("SELECT count(*) FROM audience_members WHERE user_id = 'former'")

    await until(kept, lambda count: count == 0)  # its workflow deletes what is no longer in force


async def test_an_upload_shows_its_progress_and_keeps_others_out(shop: Shop) -> None:
    path = await made(shop, "former")
    go_on = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a b\n" + b"".join(b"u%d\n" % number for number in range(BATCH))
        await go_on.wait()
        yield b"last"

    async def progress() -> Any:  # noqa: ANN401
        return (await shop.ops.get(path)).ok()

    uploading = asyncio.create_task(upload(shop, path, pieces()))
    seen = await until(progress, lambda seen: seen["filling"]["seen"] > BATCH)
    assert (seen["member_count"], seen["filling"]["status"]) == (1, "running")
    assert (seen["filling"]["seen"], seen["filling"]["bad"]) == (BATCH + 1, 1)
    assert [await is_member(shop, path, user) for user in ("former", "u1")] == [True, False]
    (await upload(shop, path, b"u1")).refused("audience_conflict", 409)
    rule = {"min_orders": 1, "since": moment(-timedelta(days=1)), "until": moment()}
    (await shop.ops.post(f"{path}/rule", rule)).refused("audience_conflict", 409)
    go_on.set()
    filling = (await uploading).ok()

    assert (filling["status"], filling["member_count"]) == ("done", BATCH + 1)
    assert [await is_member(shop, path, user) for user in ("former", "u1", "last")] == [False, True, True]


async def test_an_upload_that_breaks_off_leaves_the_former_members(shop: Shop) -> None:
    path = await made(shop, "former")

    async def look() -> Any:  # noqa: ANN401
        return (await shop.ops.get(path)).ok()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"".join(b"u%d\n" % number for number in range(BATCH))
        await until(look, lambda seen: seen["filling"]["seen"] == BATCH)
        raise ConnectionResetError

    with pytest.raises((ClientError, ConnectionResetError)):
        await upload(shop, path, pieces())

    seen = await until(look, lambda seen: seen["filling"]["status"] == "failed")
    assert (seen["member_count"], seen["filling"]["failure"]) == (1, f"The upload broke off after line {BATCH}.")
    assert [await is_member(shop, path, user) for user in ("former", "u1")] == [True, False]
    (await upload(shop, path, b"u1")).ok()


async def test_an_upload_is_read_in_bounded_memory(shop: Shop, stack: Stack) -> None:
    """50,000 lines, in this process: what is held is a batch of them."""
    path = await made(shop, "former")
    audience_id = path.rpartition("/")[2]

    async def pieces() -> AsyncIterator[bytes]:
        for piece in range(100):
            yield b"".join(b"a-buyer-with-a-long-name-%07d\n" % (piece * 500 + line) for line in range(500))

    client = await Client.connect(stack.addresses.temporal_address, data_converter=data_converter)
    database = Database(stack.addresses.database_url, size=1)
    tracemalloc.start()
    try:
        service = AudienceService(database, client, answer_within=8)
        await service.upload(audience_id, UploadFormat.CSV, pieces(), by=author("tests"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await database.close()

    assert most < 4_000_000
    assert (await shop.ops.get(path)).ok()["member_count"] == 50_000


@pytest.mark.parametrize(
    ("body", "content_type", "detail"),
    [
        (b"", "text/csv", "No line names a user; the former members stay."),
        (b"user_id\r\n", "text/csv", "No line names a user; the former members stay."),
        (b"u1\nu2\n", "application/jsonl", "No line names a user; the former members stay. Line 1: not JSON."),
        (b"u1\n", "text/plain", "Content-Type: send text/csv, application/jsonl, application/x-ndjson."),
        (b"u1\n", "", "Content-Type: send text/csv, application/jsonl, application/x-ndjson."),
    ],
)
async def test_what_names_nobody_replaces_nobody(shop: Shop, body: bytes, content_type: str, detail: str) -> None:
    path = await made(shop, "former")
    assert (await upload(shop, path, body, content_type)).refused("invalid_request", 422)["detail"] == detail
    assert await is_member(shop, path, "former")


async def test_a_rule_fills_an_audience_with_those_who_bought(shop: Shop) -> None:
    path = await made(shop, "former")
    offer = await shop.sell()
    paid, unpaid = await offer.seats(2)
    await shop.settle(paid)
    rule = {"min_orders": 1, "min_amount": "80.00", "since": moment(-timedelta(hours=1)), "until": moment(timedelta(hours=1))}

    asked = (await shop.ops.post(f"{path}/rule", rule)).ok(202)

    assert (asked["kind"], asked["rule"]["min_amount"], asked["report"]) == ("rule", "80.00", [])
    assert asked["workflow"]["id"] == f"audience-{path.rpartition('/')[2]}-{asked['filling']}"

    async def look() -> Any:  # noqa: ANN401
        return (await shop.ops.get(path)).ok()

    seen = await until(look, lambda seen: seen["filling"]["status"] == "done")
    assert seen["member_count"] == seen["filling"]["member_count"] == seen["filling"]["accepted"] > 0
    members = [await is_member(shop, path, user) for user in (paid["user_id"], unpaid["user_id"], "former")]
    assert members == [True, False, False]


async def test_what_does_not_exist_is_not_found(shop: Shop) -> None:
    path = f"/v1/ops/audiences/{fresh('audience')}"
    (await shop.ops.get(path)).refused("audience_not_found", 404)
    (await shop.ops.get(f"{path}/members/u1")).refused("audience_not_found", 404)
    (await upload(shop, path, b"u1")).refused("audience_not_found", 404)
    rule = {"min_orders": 1, "since": moment(-timedelta(hours=1)), "until": moment()}
    (await shop.ops.post(f"{path}/rule", rule)).refused("audience_not_found", 404)


async def test_a_campaign_cannot_name_an_audience_that_does_not_exist(shop: Shop) -> None:
    offer, nobody = await shop.sell(), fresh("audience")
    limited = {"plan": "cut", "expr": "20", "audience": nobody}
    for fields in ({"audience": nobody, "audience_scope": ["join"]}, {"discount": limited}):
        new = campaign_of(offer.goods_id, status="draft", **fields)
        (await shop.ops.post("/v1/ops/campaigns", new)).refused("audience_not_found", 404)
        changed = await shop.ops.patch(f"/v1/ops/campaigns/{offer.campaign_id}", fields)
        changed.refused("audience_not_found", 404)
    (await shop.ops.put(f"/v1/ops/audiences/{nobody}", {"name": "Nobody yet"})).ok()
    assert (await offer.change(discount=limited))["discount"]["audience"] == nobody


# --- the bound on bodies, which is another one for uploads ---


async def sent(path: str, size: int, read: Callable[[Receive], Awaitable[None]]) -> list[int]:
    """The statuses that the guard sends for a body of so many kilobytes."""
    kilobytes = iter(range(size))
    statuses = []

    async def receive() -> Message:
        more = next(kilobytes, None) is not None
        return {"type": "http.request", "body": b"x" * 1024 * more, "more_body": more}

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "app": MagicMock()}
    await RequestMiddleware(app)(scope, receive, send)
    return statuses


async def test_uploads_alone_may_be_large_and_have_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def all_of_it(receive: Receive) -> None:
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass

    monkeypatch.setattr(middleware, "UPLOAD_LIMIT", 4 * BODY_LIMIT)
    members, small, large = "/v1/ops/audiences/vip/members", BODY_LIMIT // 1024, 4 * BODY_LIMIT // 1024
    assert await sent("/v1/orders", small, all_of_it) == [200]
    assert await sent("/v1/orders", small + 1, all_of_it) == [413]
    assert await sent(members, large, all_of_it) == [200]
    assert await sent(members, large + 1, all_of_it) == [413]
    assert await sent(f"{members}/u1", small + 1, all_of_it) == [413]
