"""The trade behind two routes. `python -m bench.peer.app durable|bare PORT DATABASE_URL SYSTEM_DATABASE_URL`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI

from bench.peer.trade import WINDOW_SECONDS, Trade, order_answer, payment_answer, payment_report, seat_request, trade
from domain.messages.orders import HeldSeat, PaymentReport, SeatRequest, SettledPayment
from embedded.ports import HOST


@dataclass
class Side:
    lock: Callable[[SeatRequest], Awaitable[HeldSeat]]
    settle: Callable[[PaymentReport], Awaitable[SettledPayment]]
    open_teams: Callable[[], int]


@dataclass
class Bare:
    """Nothing survives this process but the rows."""

    trade: Trade
    open_teams: int = 0
    _ending: set[asyncio.Task[None]] = field(default_factory=set)

    async def lock(self, request: SeatRequest) -> HeldSeat:
        self.open_teams += request.opens_team
        return await self.trade.lock(request)

    async def settle(self, report: PaymentReport) -> SettledPayment:
        settled = await self.trade.settle(report)
        if settled.event_ids:
            ending = asyncio.create_task(self._end(settled.event_ids))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        return settled

    async def _end(self, event_ids: list[str]) -> None:
        await self.trade.deliver(event_ids)
        await asyncio.sleep(WINDOW_SECONDS)
        self.open_teams -= 1


def side_of(name: str, trading: Trade, system_database_url: str) -> Side:
    if name == "bare":
        bare = Bare(trading)
        return Side(bare.lock, bare.settle, lambda: bare.open_teams)
    from bench.peer import durable

    durable.launch(system_database_url, trading)
    return Side(durable.lock, durable.settle, lambda: durable.Durable.open_teams)


def create_app(name: str, database_url: str, system_database_url: str) -> FastAPI:
    sides: dict[str, Side] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with trade(database_url) as trading:
            sides[name] = side_of(name, trading, system_database_url)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/orders", status_code=201)
    async def lock(body: dict[str, Any]) -> dict[str, Any]:
        request = seat_request(body)
        await sides[name].lock(request)
        return order_answer(request)

    @app.post("/v1/orders/{out_trade_no}/payment")
    async def pay(out_trade_no: str, body: dict[str, Any]) -> dict[str, Any]:
        report = payment_report(out_trade_no, body)
        return payment_answer(report.team_id, await sides[name].settle(report))

    @app.get("/open_teams")
    async def open_teams() -> dict[str, int]:
        return {"open_teams": sides[name].open_teams()}

    return app


def main(name: str, port: str, database_url: str, system_database_url: str) -> None:
    app = create_app(name, database_url, system_database_url)
    uvicorn.run(app, host=HOST, port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
