"""Buyers elsewhere: what they wait for, and are refused, while a platform does mass work."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.api_client import LOAD_OFFER, Json
from bench.http_client import HttpClient
from bench.processes import BenchError
from bench.rounds import percentile

BUYERS_PER_SECOND = 2.0
DONE_WITHIN = 900.0
OPENS, PAYS, LEAVES, PAYS_WRONG = "lock", "payment", "refund", "payment of a wrong amount"


@dataclass
class Watch:
    """What buyers elsewhere met while something was going on."""

    name: str
    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    """milliseconds of every request, failed ones included"""
    failed: Counter[str] = field(default_factory=Counter)
    """requests that were not answered with what was asked for, most of them 503"""
    codes: Counter[str] = field(default_factory=Counter)
    """of these requests"""
    freed_late: list[float] | None = None
    """sorted seconds after its time at which each lapsed seat was released"""

    def as_json(self) -> Json:
        return {
            "name": self.name,
            "seconds": self.seconds,
            "codes": dict(self.codes),
            "freed_late_s": self.freed_late and {f"p{each}": percentile(self.freed_late, each) for each in (50, 99, 100)},
            "requests": {
                kind: {
                    "count": len(values),
                    "failed": self.failed[kind],
                    **{f"p{percent}": percentile(sorted(values), percent) for percent in (50, 99)},
                    "max": max(values),
                }
                for kind, values in self.latencies.items()
            },
        }


class Buyers:
    """Arrive at a fixed rate, whether or not earlier ones have been answered; each opens a team of its own.

    One pays and leaves again, the next pays a wrong amount.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._arrived = 0

    async def arrive(self, watch: Watch, end: Callable[[], Awaitable[bool]]) -> None:
        """Until `end`, which is asked every second."""
        began = asked = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._buy(watch))
                await asyncio.sleep(1 / BUYERS_PER_SECOND)
                if time.monotonic() - asked > 1:
                    if await end():
                        break
                    asked = time.monotonic()
                if asked - began > DONE_WITHIN:
                    raise BenchError(f"{watch.name}: not done after {DONE_WITHIN:g} s")
        watch.seconds = time.monotonic() - began

    async def _buy(self, watch: Watch) -> None:
        self._arrived += 1
        leaves = self._arrived % 2 == 0
        number = f"elsewhere-{secrets.token_hex(6)}"
        order = await self._call(watch, OPENS, "/v1/orders", LOAD_OFFER | {"out_trade_no": number, "user_id": number})
        if order is None:
            return
        payment = {"amount": order["pay_price"] if leaves else "0.01", "paid_at": order["locked_at"]}
        paid = await self._call(watch, PAYS if leaves else PAYS_WRONG, f"/v1/orders/{number}/payment", payment)
        if paid is not None and leaves:
            await self._call(watch, LEAVES, f"/v1/orders/{number}/refund", {})

    async def _call(self, watch: Watch, kind: str, path: str, body: Json) -> Json | None:
        sent_at = time.monotonic()
        status, answer = await self._http.send("POST", path, body)
        watch.latencies.setdefault(kind, []).append((time.monotonic() - sent_at) * 1000)
        if status >= 300:
            watch.failed[kind] += 1
            watch.codes[f"{status} {answer['code']}"] += 1
            return None
        order: Json = answer
        return order
