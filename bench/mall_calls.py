"""What a mall calls: whole teams of three, and quotes. `python -m bench.mall_calls <API url> <key>`."""

import sys
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import uvloop

from bench.load import Stopwatch, serve

OFFER = {"goods_id": "9890002", "channel": "c01", "campaign_id": 100124}
TEAM_SIZE = 3
GIVE_UP_AFTER = 30.0
"""seconds for which a request is repeated whose outcome is open"""


class MallCaller:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def play_team(self, name: str, stopwatch: Stopwatch) -> None:
        """Three seats, then three payments, by buyers who are new to the campaign."""
        orders = [await self._lock(f"{name}-0", None, stopwatch)]
        for seat in range(1, TEAM_SIZE):
            orders.append(await self._lock(f"{name}-{seat}", orders[0]["team_id"], stopwatch))
        for order in orders:
            payment = {"amount": order["pay_price"], "paid_at": datetime.now(UTC).isoformat()}
            settled = await self._post(f"/v1/orders/{order['out_trade_no']}/payment", payment, "payment", stopwatch)
        assert settled["team"]["status"] == "completed", settled

    async def quote(self, name: str, stopwatch: Stopwatch) -> None:
        await self._post("/v1/quotes", OFFER | {"user_id": name}, "quote", stopwatch)

    async def bare(self, name: str, stopwatch: Stopwatch) -> None:
        await self._post("/bare", OFFER | {"user_id": name}, "bare route", stopwatch)

    async def _lock(self, number: str, team_id: str | None, stopwatch: Stopwatch) -> dict[str, Any]:
        body = OFFER | {"out_trade_no": number, "user_id": number}
        if team_id is None:
            return await self._post("/v1/orders", body, "lock, opening", stopwatch)
        return await self._post("/v1/orders", body | {"team_id": team_id}, "lock, joining", stopwatch)

    async def _post(self, path: str, body: dict[str, Any], kind: str, stopwatch: Stopwatch) -> dict[str, Any]:
        asked_at = time.perf_counter()
        while True:
            async with self._http.post(path, json=body) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
            if response.status < 300:
                stopwatch.answered(kind, asked_at)
                return answer
            if not answer.get("retryable") or time.perf_counter() - asked_at > GIVE_UP_AFTER:
                raise RuntimeError(f"POST {path} {body}: {response.status} {answer}")
            stopwatch.repeated += 1


async def call(url: str, key: str) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(url, connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as http:
        caller = MallCaller(http)
        await serve({"team": caller.play_team, "quote": caller.quote, "bare": caller.bare})


if __name__ == "__main__":
    uvloop.run(call(sys.argv[1], sys.argv[2]))
