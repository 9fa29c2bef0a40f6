"""What a mall calls: whole teams of three, quotes and the market. `python -m bench.mall_calls <API url> <key>`."""

import random
import sys
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import uvloop

from bench.http_caller import HttpCaller
from bench.load import Stopwatch, serve
from bench.market import CAMPAIGNS

OFFER = {"goods_id": "9890002", "channel": "c01", "campaign_id": 100124}
TEAM_SIZE = 3
TEAMS_LISTED = 10
GIVE_UP_AFTER = 30.0
"""seconds for which a request is repeated whose outcome is open"""


class MallCaller:
    def __init__(self, http: HttpCaller) -> None:
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

    async def market(self, name: str, stopwatch: Stopwatch) -> None:
        """Of one goods, by one buyer after the other."""
        await self._market("bench-0", name, stopwatch)

    async def quote_of_many(self, name: str, stopwatch: Stopwatch) -> None:
        asked = {"goods_id": _any_goods(), "channel": OFFER["channel"], "user_id": name}
        await self._post("/v1/quotes", asked, "quote of many", stopwatch)

    async def market_of_many(self, name: str, stopwatch: Stopwatch) -> None:
        await self._market(_any_goods(), name, stopwatch)

    async def _market(self, goods_id: str, name: str, stopwatch: Stopwatch) -> None:
        asked_at = time.perf_counter()
        asked = {"goods_id": goods_id, "channel": str(OFFER["channel"]), "user_id": name}
        _, found = await self._http.get(f"/v1/market?{urlencode(asked)}")
        assert len(found["teams"]) == TEAMS_LISTED, found
        stopwatch.answered("market", asked_at)

    async def bare(self, name: str, stopwatch: Stopwatch) -> None:
        await self._post("/bare", OFFER | {"user_id": name}, "bare route", stopwatch)

    async def _lock(self, number: str, team_id: str | None, stopwatch: Stopwatch) -> dict[str, Any]:
        body = OFFER | {"out_trade_no": number, "user_id": number}
        if team_id is None:
            return await self._post("/v1/orders", body, "lock, opening", stopwatch)
        return await self._post("/v1/orders", body | {"team_id": team_id}, "lock, joining", stopwatch)

    async def _post(self, path: str, body: dict[str, Any], kind: str, stopwatch: Stopwatch) -> dict[str, Any]:
        asked_at = time.perf_counter()
        answer: dict[str, Any]
        while True:
            status, answer = await self._http.post(path, body)
            if status < 300:
                stopwatch.answered(kind, asked_at)
                return answer
            if not answer.get("retryable") or time.perf_counter() - asked_at > GIVE_UP_AFTER:
                raise RuntimeError(f"POST {path} {body}: {status} {answer}")
            stopwatch.repeated += 1


def _any_goods() -> str:
    return f"bench-{random.randrange(CAMPAIGNS)}"  # noqa: S311 - no secret


async def call(url: str, key: str) -> None:
    caller = MallCaller(HttpCaller(url, key))
    await serve(
        {
            "team": caller.play_team,
            "bare": caller.bare,
            "quote": caller.quote,
            "market": caller.market,
            "quote_of_many": caller.quote_of_many,
            "market_of_many": caller.market_of_many,
        }
    )


if __name__ == "__main__":
    uvloop.run(call(sys.argv[1], sys.argv[2]))
