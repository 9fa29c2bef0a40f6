"""Bodies that are no JSON object, of another type, or too large."""

import io
import json
from collections.abc import AsyncIterator

import pytest

from tests.api.caller import Answer
from tests.api.calls import CALLS, ORDER, caller
from tests.api.shop import Shop

pytestmark = pytest.mark.usefixtures("one_line_and_nothing_written")

MEGABYTE = 1_000_000


async def send(shop: Shop, call: str, body: bytes, content_type: str = "application/json") -> Answer:
    method, path, _ = CALLS[call]
    return await caller(shop, path).call(method, path, headers={"Content-Type": content_type}, data=body)


NO_OBJECT = {
    "empty": b"",
    "space": b"  ",
    "null": b"null",
    "text": b'"order"',
    "number": b"7",
    "list": b"[]",
    "list of an object": b"[{}]",
    "no JSON": b"out_trade_no=trade-1",
    "half of JSON": b'{"out_trade_no": "tr',
    "JSON and more": b"{} {}",
    "NaN": b"NaN",
    "a number of 5000 digits": b'{"campaign_id": ' + b"9" * 5000 + b"}",
    "deep lists": b"[" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep within a field": b'{"goods_id": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "invalid UTF-8": b'{"out_trade_no": "\xff\xfe"}',
    "UTF-16": '{"out_trade_no": "trade-1"}'.encode("utf-16"),
    "UTF-8 with a mark": b"\xef\xbb\xbf{}x",
    "a NUL": b'{"out_trade_no": "a\x00b"}',
    "NULs": b"\x00" * 100,
}


@pytest.mark.parametrize("call", ["order", "payment", "campaign", "change"])
async def test_what_is_no_json_object_is_refused(shop: Shop, subtests: pytest.Subtests, call: str) -> None:
    for name, body in NO_OBJECT.items():
        with subtests.test(name):
            (await send(shop, call, body)).refused("invalid_request", 422)


async def test_another_content_type_is_refused(shop: Shop, subtests: pytest.Subtests) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "x"):
        with subtests.test(content_type):
            (await send(shop, "order", json.dumps(ORDER).encode(), content_type)).refused("invalid_request", 422)


@pytest.mark.parametrize("kind", ["no JSON", "a long text", "of no said length"])
async def test_ten_megabytes_are_refused(shop: Shop, subtests: pytest.Subtests, kind: str) -> None:
    body = b'{"reason": "' + b"x" * (10 * MEGABYTE) + b'"}' if kind == "a long text" else b"x" * (10 * MEGABYTE)

    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), MEGABYTE):
            yield body[begin : begin + MEGABYTE]

    for call, (method, path, _) in CALLS.items():
        with subtests.test(call):
            headers = {"Content-Type": "application/json"}
            content = pieces() if kind == "of no said length" else io.BytesIO(body)
            answer = await caller(shop, path).call(method, path, headers=headers, data=content)
            assert answer.status in {413, 422}
            answer.refused("invalid_request", answer.status)
