"""Who calls the API, with one key; and what comes back."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

PROBLEM = "application/problem+json"
RETRYABLE = {"rate_limited", "temporarily_unavailable", "internal_error"}
MEMBERS = {"type", "title", "status", "detail", "code", "retryable", "errors"}


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]
    seconds: float

    @property
    def replayed(self) -> bool:
        return self.status == 200 and self.headers.get("Idempotent-Replayed") == "true"

    @property
    def code(self) -> str | None:
        """The code of a problem; None for what is none."""
        return self.body["code"] if self.headers["Content-Type"] == PROBLEM else None

    def ok(self, status: int = 200) -> Any:  # noqa: ANN401 - the JSON of the answer
        assert self.status == status, (self.status, self.body)
        return self.body

    def refused(self, code: str, status: int) -> dict[str, Any]:
        """The problem, which has all the members that it must have."""
        assert (self.status, self.code) == (status, code), (self.status, self.body)
        problem: dict[str, Any] = self.body
        assert set(problem) == MEMBERS
        assert problem["status"] == status
        assert problem["type"] == f"/problems/{code}"
        assert problem["title"]
        assert problem["detail"]
        assert problem["retryable"] is (code in RETRYABLE)
        assert all(set(error) == {"field", "message"} for error in problem["errors"])
        return problem


def _workflow_links(body: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON
    """Every workflow that an answer names, at any depth."""
    match body:
        case list():
            for item in body:
                yield from _workflow_links(item)
        case {"workflow": {"id": _} as link, **others}:
            yield link
            yield from _workflow_links(others)
        case dict():
            for value in body.values():
                yield from _workflow_links(value)


class Caller:
    calls = 0
    """The number of calls that all callers have made."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, key: str | None) -> None:
        self._http = http
        self.base_url = base_url
        self.key = key

    def elsewhere(self, base_url: str) -> "Caller":
        return Caller(self._http, base_url, None)

    def with_key(self, key: str | None) -> "Caller":
        return Caller(self._http, self.base_url, key)

    async def get(self, path: str, **query: str | int) -> Answer:
        return await self.call("GET", path, params=query)

    async def post(self, path: str, body: object = None) -> Answer:
        return await self.call("POST", path, json=body)

    async def put(self, path: str, body: object) -> Answer:
        return await self.call("PUT", path, json=body)

    async def patch(self, path: str, body: object) -> Answer:
        return await self.call("PATCH", path, json=body)

    async def call(self, method: str, path: str, headers: Mapping[str, str] | None = None, **content: Any) -> Answer:  # noqa: ANN401
        authorization = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        Caller.calls += 1
        began = time.monotonic()
        async with self._http.request(
            method, self.base_url + path, headers={**authorization, **(headers or {})}, **content
        ) as response:
            text = await response.read()
        seconds = time.monotonic() - began
        is_json = response.content_type in {"application/json", PROBLEM}
        body = await response.json(content_type=None) if is_json else text
        if path.startswith("/v1/"):
            assert all(link["url"].endswith(f"/{link['id']}") for link in _workflow_links(body)), body
        return Answer(response.status, body, response.headers, seconds)


@asynccontextmanager
async def http_session() -> AsyncIterator[aiohttp.ClientSession]:
    """As many connections at once as a test asks for."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        yield session
