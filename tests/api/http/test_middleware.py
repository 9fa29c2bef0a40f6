"""When the cache is emptied after a request."""

from types import SimpleNamespace

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.http.middleware import RequestMiddleware
from api.runtime.cache import Cache
from api.runtime.turns import Turn, Turns


@pytest.mark.parametrize(
    ("method", "path", "status", "is_emptied"),
    [
        ("PUT", "/v1/ops/malls/s01", 200, True),
        ("POST", "/v1/ops/keys", 503, True),  # the outcome is open
        ("GET", "/v1/ops/malls", 200, False),
        ("POST", "/v1/orders", 201, False),
        ("POST", "/v1/ops/keys", 401, False),
        ("POST", "/v1/ops/keys", 429, False),
        ("POST", "/v1/ops/nothing", 404, False),
    ],
)
async def test_the_cache_is_emptied_by_changes_and_not_by_refusals(
    method: str, path: str, status: int, *, is_emptied: bool
) -> None:
    cache = Cache("postgresql://postgres@127.0.0.1:1/groupbuy")

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(_message: Message) -> None:
        pass

    state = SimpleNamespace(container=SimpleNamespace(cache=cache, turns=Turns(1, dict.fromkeys(Turn, 1.0), 0.001)))
    scope = {"type": "http", "method": method, "path": path, "headers": [], "app": SimpleNamespace(state=state)}
    await RequestMiddleware(app)(scope, receive, send)
    assert bool(cache.invalidations) is is_emptied
