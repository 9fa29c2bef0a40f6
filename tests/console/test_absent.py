"""Without a secret there is no console."""

import pytest
from starlette.types import Message, Scope

from api.app import create_server_app


async def _status(path: str) -> int:
    """What the API answers to a request, before it has a container."""
    answers: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        answers.append(message)

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "scheme": "http",
        "http_version": "1.1",
        "server": ("api", 0),
        "client": ("127.0.0.1", 1),
    }
    await create_server_app()(scope, receive, send)
    return int(answers[0]["status"])


@pytest.mark.parametrize(("secret", "status"), [("", 404), ("a secret of the test, long enough for it", 307)])
async def test_the_console_is_there_where_it_has_a_secret(monkeypatch: pytest.MonkeyPatch, secret: str, status: int) -> None:
    monkeypatch.setenv("GROUPBUY_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.delenv("GROUPBUY_CONSOLE_SECRET", raising=False)
    if secret:
        monkeypatch.setenv("GROUPBUY_CONSOLE_SECRET", secret)
    assert await _status("/console") == status
