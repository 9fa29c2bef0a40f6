"""What is done around a request: the cache is emptied after it, and at the door it waits for its turn."""

import asyncio
import json
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


async def test_at_the_door_joiners_of_one_team_leave_room_for_those_of_another() -> None:
    turns, served = Turns(1, dict.fromkeys(Turn, 1.0), 0.001), []
    state = SimpleNamespace(container=SimpleNamespace(turns=turns))

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        served.append(json.loads((await receive())["body"])["team_id"])
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def join(team_id: str) -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": json.dumps({"out_trade_no": "T1", "team_id": team_id}).encode()}

        async def send(_message: Message) -> None:
            pass

        scope = {"type": "http", "method": "POST", "path": "/v1/orders", "headers": [], "app": SimpleNamespace(state=state)}
        await RequestMiddleware(app)(scope, receive, send)

    async with asyncio.TaskGroup() as group, turns.take(Turn.LOCK):
        for team_id in ("hot", "hot", "hot", "other"):
            group.create_task(join(team_id))
        await asyncio.sleep(0)
    assert served == ["hot", "other", "hot", "hot"]
