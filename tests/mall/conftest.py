"""A demo mall on a real port, and signed callbacks for it."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from pydantic import JsonValue
from standardwebhooks import Webhook

from mall.app import create_app
from mall.config import Config
from mall.switches import Switches

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


def event(type_: str, sequence: int, **data: JsonValue) -> bytes:
    body = {"type": type_, "timestamp": "2026-03-01T12:00:00Z", "sequence": sequence, "data": data}
    return json.dumps(body).encode()


def signed(event_id: str, body: bytes, *, secret: str = SECRET, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, at, body.decode()),
    }


@dataclass(frozen=True)
class Mall:
    """A client of the mall: sends callbacks as the platform does, and uses the page's endpoints."""

    url: str
    http: aiohttp.ClientSession

    async def send(self, event_id: str, body: bytes) -> Answer:
        return await self.post(body, signed(event_id, body))

    async def post(self, body: bytes | AsyncIterator[bytes], headers: dict[str, str]) -> Answer:
        data = io.BytesIO(body) if isinstance(body, bytes) else body  # aiohttp warns about large bodies given as bytes
        async with self.http.post(f"{self.url}/callbacks", data=data, headers=headers) as response:
            return Answer(response.status, await response.json())

    async def press(self, path: str, headers: dict[str, str] | None = None, **body: JsonValue) -> Answer:
        """Sends what a button of the page sends; without a browser's headers, as a command-line client does."""
        async with self.http.post(self.url + path, json=body, headers=headers) as response:
            return Answer(response.status, await response.json() if response.status != 204 else None)

    async def switch(self, **values: JsonValue) -> None:
        answer = await self.press("/shop/switches", None, **values)
        assert answer.status == 204, answer.body

    async def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON or a page
        async with self.http.get(self.url + path, params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json() if response.content_type == "application/json" else await response.text()

    async def to_do(self) -> dict[str, str]:
        return {order["out_trade_no"]: order["to_do"] for order in (await self.get("/orders"))["data"]}


StartMall = Callable[..., AbstractAsyncContextManager[Mall]]


@pytest.fixture
def start_mall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StartMall:
    """Starts malls on free ports, one after the other on the same state."""

    @asynccontextmanager
    async def start(secret: str = SECRET, **fields: str) -> AsyncIterator[Mall]:
        environment = {
            "port": "0",
            "api_url": "http://127.0.0.1:1",
            "key": "mall-key",
            "webhook_secret": secret,
            "state": str(tmp_path / "mall.sqlite"),
            **fields,
        }
        for name, value in environment.items():
            monkeypatch.setenv(f"MALL_{name.upper()}", value)
        # The socket listens before the server runs: an early request waits, and readiness needs no polling.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            app = create_app(Config(), Switches())
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_keep_alive=75))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
                    yield Mall(f"http://127.0.0.1:{port}", http)
            finally:
                server.should_exit = True
                await serving

    return start


@pytest.fixture
async def mall(start_mall: StartMall) -> AsyncIterator[Mall]:
    async with start_mall() as mall:
        yield mall
