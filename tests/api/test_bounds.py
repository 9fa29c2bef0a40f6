"""The bounds of HTTP on the whole stack, with the limits that it has by default."""

import asyncio
import time
from urllib.parse import urlsplit

import pytest

from embedded.ports import HOST
from embedded.stack import Stack
from tests.api.http.raw_client import Client
from tests.api.shop import Shop

HEAD = b"POST /v1/quotes HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
UNFINISHED = (b"", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{")


async def connect(stack: Stack) -> Client:
    return await Client.connect(HOST, urlsplit(stack.addresses.api_url).port or 0)


async def test_900_unfinished_requests_keep_nobody_out(shop: Shop, stack: Stack) -> None:
    offer = await shop.sell()
    clients = [await connect(stack) for _ in range(900)]
    try:
        for number, client in enumerate(clients):
            await client.send(UNFINISHED[number % 3])
        for _ in range(3):
            began = time.monotonic()
            await asyncio.gather(offer.quote(), offer.seat(), shop.mall.get("/healthz"))
            assert time.monotonic() - began < 2
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [(HEAD + b"X: " + b"x" * 33_000, 431), (HEAD.replace(b"quotes", b"x" * 9000), 414), (b"hello", 400)],
    ids=["header", "address", "not HTTP"],
)
async def test_too_much_is_a_problem(stack: Stack, head: bytes, status: int) -> None:
    client = await connect(stack)
    assert await client.refusal(head + b"\r\n\r\n") == (status, "invalid_request")
    client.close()
