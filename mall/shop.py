"""What the page shows, and what its buttons do: the mall's own business, through the platform's public API."""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from pydantic import BaseModel, JsonValue

from mall import platform
from mall.cashier import Cashier, How
from mall.events import ToDo
from mall.platform import Away, Market, Platform, PlatformError, Refund, Team
from mall.queue import QueueReceiver
from mall.store import Arrival, Order, Payment, Store
from mall.switches import Mood, NewSwitches, Switches, Way

CHANNEL = "c01"
BUYERS = ("ann", "bob", "cem", "dora", "emil", "faye")

_SHOWN_ORDERS = 8  # of a buyer
_SHOWN_ARRIVALS = 60
_SHOWN_TO_DO = 30
_FINISHED = ("cancelled", "refunded")


@dataclass(frozen=True)
class Goods:
    goods_id: str
    note: str


CATALOGUE = (
    Goods("9890001", "One seat for each buyer."),
    Goods("9890002", "As many seats as you like, each in another team."),
    Goods("9890003", "A seat is kept for 20 seconds, a team for three minutes: pay late here."),
)


class OnSale(BaseModel):
    goods_id: str
    note: str
    market: Market | None = None
    problem: str | None = None


class BoughtOrder(BaseModel):
    """One order from all sides: the platform's, the cashier's, and what the callbacks say."""

    order: platform.Order
    team: Team | None
    refund: Refund | None
    payment: Payment | None
    money_back: Decimal
    to_do: ToDo | None


class Position(BaseModel):
    """The switches as they are."""

    way: Way
    mood: Mood
    no_rabbitmq: str | None
    """why it cannot be switched to"""
    slow_seconds: float


class View(BaseModel):
    """All that the page shows, for one buyer."""

    now: datetime
    buyer: str
    goods: list[OnSale]
    orders: list[BoughtOrder]
    problem: str | None
    arrivals: list[Arrival]
    to_do: list[Order]
    switches: Position


class Shop:
    def __init__(
        self,
        platform: Platform,
        cashier: Cashier,
        store: Store,
        switches: Switches,
        queue: QueueReceiver,
        *,
        routing_key: str,
        slow_seconds: float,
    ) -> None:
        self._platform = platform
        self._cashier = cashier
        self._store = store
        self._switches = switches
        self._queue = queue
        self._routing_key = routing_key
        self._slow_seconds = slow_seconds

    async def view(self, buyer: str, team_id: str | None) -> View:
        """Whatever the platform does not answer is said where it would stand; what the mall itself knows is always there."""
        goods, (orders, problem) = await asyncio.gather(
            asyncio.gather(*(self._on_sale(goods, buyer) for goods in CATALOGUE)), self._bought(buyer)
        )
        switches = self._switches
        return View(
            now=datetime.now(UTC),
            buyer=buyer,
            goods=goods,
            orders=orders,
            problem=problem,
            arrivals=self._store.arrivals(team_id, _SHOWN_ARRIVALS),
            to_do=self._store.orders(team_id, _SHOWN_TO_DO),
            switches=Position(
                way=switches.way, mood=switches.mood, no_rabbitmq=self._queue.problem, slow_seconds=self._slow_seconds
            ),
        )

    async def take_seat(self, buyer: str, goods_id: str, team_id: str | None) -> str:
        """The number of the new order."""
        request: dict[str, JsonValue] = {
            "out_trade_no": f"M{datetime.now(UTC):%m%d%H%M%S}-{secrets.token_hex(3)}",
            "user_id": buyer,
            "goods_id": goods_id,
            "channel": CHANNEL,
        }
        if team_id is not None:
            request["team_id"] = team_id
        if self._switches.way is Way.RABBITMQ:
            request["callback"] = {"kind": "amqp", "routing_key": self._routing_key}
        return (await self._platform.lock(request)).out_trade_no

    async def pay(self, out_trade_no: str, how: How) -> None:
        order = await self._platform.order(out_trade_no)
        try:
            await self._cashier.take(order, how)
        except Away as away:
            raise PlatformError("The cashier has the money, and reports it when the platform is back.") from away

    async def refund(self, out_trade_no: str) -> None:
        await self._platform.undo(out_trade_no, "changed my mind")

    def switch(self, new: NewSwitches) -> None:
        if new.way is Way.RABBITMQ and self._queue.problem:
            raise PlatformError(self._queue.problem)
        self._switches.set(new)

    async def _on_sale(self, goods: Goods, buyer: str) -> OnSale:
        try:
            market = await self._platform.market(goods.goods_id, CHANNEL, buyer)
        except PlatformError as error:
            return OnSale(goods_id=goods.goods_id, note=goods.note, problem=str(error))
        return OnSale(goods_id=goods.goods_id, note=goods.note, market=market)

    async def _bought(self, buyer: str) -> tuple[list[BoughtOrder], str | None]:
        try:
            orders = await self._platform.orders(buyer, _SHOWN_ORDERS)
            return await asyncio.gather(*(self._from_all_sides(order) for order in orders)), None
        except PlatformError as error:
            return [], str(error)

    async def _from_all_sides(self, order: platform.Order) -> BoughtOrder:
        number = order.out_trade_no
        payment, told = self._store.payment(number), self._store.order(number)
        team = None if order.status in _FINISHED else await self._platform.team(order.team_id)
        # An order that was never paid for has nothing to tell of its refund.
        refund = None if payment is None or order.status == "locked" else await self._platform.refund(number)
        return BoughtOrder(
            order=order,
            team=team,
            refund=refund,
            payment=payment,
            money_back=self._store.money_back(number),
            to_do=told and told.to_do,
        )
