"""What the driver plays on a stack: teams that complete, and teams whose only seat lapses; the mall hears of each."""

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.api_client import TEAM_SIZE, ApiClient, Json
from bench.callback_receiver import listening
from bench.driver import Play, RunningStack
from bench.load import Stopwatch
from bench.processes import BenchError
from embedded.ports import HOST, free_port

REFUND_WINDOW = 1
"""seconds, after which the workflow of a completed team closes"""
LAPSES_AFTER = 1
"""seconds, after which an unpaid seat is released; there is no grace"""


@asynccontextmanager
async def team_play(stack: RunningStack) -> AsyncIterator[tuple[Play, Callable[[], None]]]:
    """Yields the play of teams in a campaign of their own, and a check that every team played had its callback."""
    async with _called_back(stack, "team.completed", TEAM_SIZE, refund_window=REFUND_WINDOW) as (mall, offer, played, check):

        async def play(name: str, stopwatch: Stopwatch) -> str:
            team = await mall.complete_team(name, offer, stopwatch)
            played.add(team["team_id"])
            return str(team["workflow"]["id"])

        yield play, check


@asynccontextmanager
async def lapse_play(stack: RunningStack) -> AsyncIterator[tuple[Play, Callable[[], None]]]:
    """Yields the play of teams whose opener does not pay, which end with that, and the same check."""
    async with _called_back(stack, "order.cancelled", 2, lock_ttl=LAPSES_AFTER, payment_grace=0) as (
        mall,
        offer,
        played,
        check,
    ):

        async def play(name: str, stopwatch: Stopwatch) -> str:
            order = await mall.lock(name, offer, None, stopwatch)
            played.add(order["team_id"])
            return f"team-{order['team_id']}"

        yield play, check


@asynccontextmanager
async def _called_back(
    stack: RunningStack, event_type: str, target_count: int, **fields: int
) -> AsyncIterator[tuple[ApiClient, Json, set[str], Callable[[], None]]]:
    """Yields a client, an offer, the teams that were played, and the check that each was called back with this event."""
    mall, ops = ApiClient(stack.api_url, stack.mall_key, *stack.more_api_urls), ApiClient(stack.api_url, stack.ops_key)
    offer = await ops.create_campaign(f"bench-life-{secrets.token_hex(4)}", target_count, **fields)
    port = free_port()
    offer["callback"] = {"kind": "http", "url": f"http://{HOST}:{port}/"}
    played: set[str] = set()
    called_back: set[str] = set()

    def on_callback(body: bytes) -> None:
        event: Json = json.loads(body)
        if event["type"] == event_type:
            called_back.add(event["data"]["team_id"])

    def check() -> None:
        if missing := played - called_back:
            raise BenchError(f"{len(missing)} workflows closed without {event_type}, among them {min(missing)}")

    async with listening(port, on_callback):
        yield mall, offer, played, check
