"""Rushes: many buyers press one button at once, on a campaign (each opens a team) or on one team.

`python -m bench.rush --stack STACK.json` drives a running stack; STACK.json holds the line that `groupbuy up --json` prints.
"""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import uvloop
from pydantic import BaseModel

from bench.http_client import HttpClient
from bench.rounds import percentile

GOODS_PRICE = "100.00"


class Stack(BaseModel):
    api_url: str
    mall_key: str
    ops_key: str
    database_url: str


async def timed(client: HttpClient, path: str, body: dict[str, Any]) -> tuple[int, float, Any]:
    began = time.monotonic()
    status, answer = await client.send("POST", path, body)
    return status, time.monotonic() - began, answer


async def prepare(ops: HttpClient, name: str, seats: int, take_limit: int = 1) -> str:
    """Creates a campaign for goods of its own; returns the goods' id."""
    goods = f"rush-{name}"
    assert (await ops.send("PUT", f"/v1/ops/goods/{goods}", {"name": goods, "original_price": GOODS_PRICE}))[0] < 300
    campaign = {
        "name": name,
        "status": "active",
        "goods": [{"source": "s01", "channel": "c01", "goods_id": goods}],
        "discount": {"plan": "cut", "expr": "20"},
        "target_count": seats,
        "take_limit": take_limit,
        "starts_at": "2020-01-01T00:00:00Z",
        "ends_at": "2100-01-01T00:00:00Z",
    }
    status, answer = await ops.send("POST", "/v1/ops/campaigns?confirm=true", campaign)
    assert status == 201, answer
    return goods


def order(goods: str, number: str, team_id: str | None = None) -> dict[str, Any]:
    body = {"out_trade_no": number, "user_id": f"u-{number}", "goods_id": goods, "channel": "c01"}
    return body | ({"team_id": team_id} if team_id else {})


def show(name: str, results: list[tuple[int, float, Any]], seconds: float) -> None:
    statuses = Counter(f"{status} {answer.get('code', '') if status >= 400 else ''}".strip() for status, _, answer in results)
    latencies = sorted(latency * 1000 for _, latency, _ in results)
    click.echo(
        f"{name}: {len(results)} in {seconds:.2f} s; {dict(statuses)}; "
        f"p50 {percentile(latencies, 50):.0f} p99 {percentile(latencies, 99):.0f} ms"
    )


async def rush(stack: Stack, kind: str, buyers: int, seats: int) -> None:
    mall, ops = HttpClient(stack.api_url, stack.mall_key), HttpClient(stack.api_url, stack.ops_key)
    name = f"{kind}-{time.time_ns()}"
    goods = await prepare(ops, name, seats)
    team = None
    if kind == "team":
        status, _, answer = await timed(mall, "/v1/orders", order(goods, f"{name}-opener"))
        assert status == 201, answer
        team = answer["team_id"]
    # Connections first: what is measured is the market.
    await asyncio.gather(*(mall.send("GET", "/healthz") for _ in range(buyers)))
    began = time.monotonic()
    results = await asyncio.gather(
        *(timed(mall, "/v1/orders", order(goods, f"{name}-{number}", team)) for number in range(buyers))
    )
    show(f"{kind} rush", results, time.monotonic() - began)
    winners = [answer["out_trade_no"] for status, _, answer in results if status == 201]
    if kind == "team":
        winners.append(f"{name}-opener")
        began = time.monotonic()
        payment = {"amount": "80.00", "paid_at": "2026-11-29T08:00:00Z"}
        paid = await asyncio.gather(*(timed(mall, f"/v1/orders/{number}/payment", payment) for number in winners))
        show("payments", paid, time.monotonic() - began)
    status, answer = await ops.send("GET", "/v1/ops/invariants")
    click.echo(f"invariants: {answer['violations'][:3]}")


@click.command()
@click.option("--stack", type=click.Path(path_type=Path, exists=True), required=True)
@click.argument("kind", type=click.Choice(["campaign", "team"]))
@click.option("--buyers", default=2000, show_default=True)
@click.option("--seats", default=500, show_default=True)
def main(stack: Path, kind: str, buyers: int, seats: int) -> None:
    """Rush on a campaign or on one team."""
    uvloop.run(rush(Stack.model_validate(json.loads(stack.read_text())), kind, buyers, seats))


if __name__ == "__main__":
    main()
