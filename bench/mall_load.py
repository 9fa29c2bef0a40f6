"""The load of a mall: whole teams of three, quotes and the market. `python -m bench.mall_load <API url> <key>`."""

import random
import sys
import time
from urllib.parse import urlencode

import uvloop

from bench.api_client import LOAD_OFFER, ApiClient
from bench.load import Stopwatch, serve
from bench.market import CAMPAIGNS

TEAMS_LISTED = 10


class MallLoad:
    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def team(self, name: str, stopwatch: Stopwatch) -> None:
        await self._api.complete_team(name, LOAD_OFFER, stopwatch)

    async def quote(self, name: str, stopwatch: Stopwatch) -> None:
        await self._api.post("/v1/quotes", LOAD_OFFER | {"user_id": name}, "quote", stopwatch)

    async def market(self, name: str, stopwatch: Stopwatch) -> None:
        """Always the same goods, each time for a new buyer."""
        await self._market("bench-0", name, stopwatch)

    async def quote_of_many(self, name: str, stopwatch: Stopwatch) -> None:
        body = {"goods_id": _random_goods(), "channel": LOAD_OFFER["channel"], "user_id": name}
        await self._api.post("/v1/quotes", body, "quote of many", stopwatch)

    async def market_of_many(self, name: str, stopwatch: Stopwatch) -> None:
        await self._market(_random_goods(), name, stopwatch)

    async def bare(self, name: str, stopwatch: Stopwatch) -> None:
        await self._api.post("/bare", LOAD_OFFER | {"user_id": name}, "bare route", stopwatch)

    async def _market(self, goods_id: str, name: str, stopwatch: Stopwatch) -> None:
        sent_at = time.perf_counter()
        query = {"goods_id": goods_id, "channel": LOAD_OFFER["channel"], "user_id": name}
        market = await self._api.get(f"/v1/market?{urlencode(query)}")
        assert len(market["teams"]) == TEAMS_LISTED, market
        stopwatch.record("market", sent_at)


def _random_goods() -> str:
    return f"bench-{random.randrange(CAMPAIGNS)}"  # noqa: S311 - no secret


async def main(url: str, key: str) -> None:
    load = MallLoad(ApiClient(url, key))
    await serve(
        {
            "team": load.team,
            "bare": load.bare,
            "quote": load.quote,
            "market": load.market,
            "quote_of_many": load.quote_of_many,
            "market_of_many": load.market_of_many,
        }
    )


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))
