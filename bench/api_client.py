"""What the bench calls of the public API: orders, payments, campaigns and goods."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.http_client import HttpClient
from bench.load import Stopwatch
from bench.processes import BenchError

RETRY_FOR = 30.0
"""seconds for which a request is repeated whose answer is `retryable`"""
TEAM_SIZE = 3

Json = dict[str, Any]

LOAD_OFFER: Json = {"goods_id": "9890002", "channel": "c01", "campaign_id": 100124}
"""the demo campaign for load: teams of three, a hundred seats for each buyer"""


class ApiClient:
    """The public API with one key.

    Raises:
        BenchError: a request is refused, or still answered `retryable` after RETRY_FOR.
    """

    def __init__(self, url: str, key: str, *more_urls: str) -> None:
        self._http = HttpClient(url, key, *more_urls)

    async def get(self, path: str) -> Json:
        return await self._call("GET", path)

    async def put(self, path: str, body: Json) -> Json:
        return await self._call("PUT", path, body)

    async def post(self, path: str, body: Json, kind: str = "", stopwatch: Stopwatch | None = None) -> Json:
        """With a stopwatch, the latency of the answered request is recorded under this kind."""
        return await self._call("POST", path, body, kind, stopwatch)

    async def complete_team(self, name: str, offer: Json, stopwatch: Stopwatch | None = None) -> Json:
        """Plays a team of three buyers who are new to the campaign: three locks, then three payments; returns the team."""
        orders = [await self.lock(f"{name}-0", offer, None, stopwatch)]
        for seat in range(1, TEAM_SIZE):
            orders.append(await self.lock(f"{name}-{seat}", offer, orders[0]["team_id"], stopwatch))
        for order in orders:
            payment = await self.pay(order, stopwatch=stopwatch)
        team: Json = payment["team"]
        if team["status"] != "completed":
            raise BenchError(f"three of three have paid, but team {team['team_id']} is {team['status']}")
        return team

    async def lock(self, number: str, offer: Json, team_id: str | None = None, stopwatch: Stopwatch | None = None) -> Json:
        """`number` is the order's out_trade_no and the buyer's user_id."""
        body = offer | {"out_trade_no": number, "user_id": number}
        if team_id is None:
            return await self.post("/v1/orders", body, "lock, opening", stopwatch)
        return await self.post("/v1/orders", body | {"team_id": team_id}, "lock, joining", stopwatch)

    async def pay(self, order: Json, amount: str | None = None, stopwatch: Stopwatch | None = None) -> Json:
        """`amount` None is the order's price."""
        payment = {"amount": amount or order["pay_price"], "paid_at": datetime.now(UTC).isoformat()}
        return await self.post(f"/v1/orders/{order['out_trade_no']}/payment", payment, "payment", stopwatch)

    async def create_campaign(self, goods_id: str, target_count: int, **fields: int) -> Json:
        """Needs a key for operations. Creates goods and a campaign for the demo mall; returns the offer for locks."""
        await self.put(f"/v1/ops/goods/{goods_id}", {"name": goods_id, "original_price": "100.00"})
        now = datetime.now(UTC)
        channel = LOAD_OFFER["channel"]
        body: Json = {
            "name": goods_id,
            "status": "active",
            "starts_at": now.isoformat(),
            "ends_at": (now + timedelta(days=1)).isoformat(),
            "goods": [{"source": "s01", "channel": channel, "goods_id": goods_id}],
            "discount": {"plan": "cut", "expr": "20"},
            "target_count": target_count,
        }
        campaign = await self.post("/v1/ops/campaigns", body | fields)
        return {"goods_id": goods_id, "channel": channel, "campaign_id": campaign["campaign_id"]}

    async def _call(
        self, method: str, path: str, body: Json | None = None, kind: str = "", stopwatch: Stopwatch | None = None
    ) -> Json:
        sent_at = time.perf_counter()
        answer: Json
        while True:
            status, answer = await self._http.send(method, path, body)
            if status < 300:
                if stopwatch:
                    stopwatch.record(kind, sent_at)
                return answer
            if not answer.get("retryable") or time.perf_counter() - sent_at > RETRY_FOR:
                raise BenchError(f"{method} {path} {body}: {status} {answer}")
            if stopwatch:
                stopwatch.repeated += 1
