"""What the mall's page shows, and what its buttons do."""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from pydantic import BaseModel, JsonValue

from mall import platform
from mall.amqp_receiver import AmqpReceiver
from mall.cashier import Cashier, PaymentMode
from mall.events import Task
from mall.platform import Market, Platform, PlatformError, PlatformUnavailable, Refund, Team
from mall.store import Attempt, Order, Payment, Store
from mall.switches import Mood, NewSwitches, Switches, Transport

CHANNEL = "c01"
BUYERS = ("ann", "bob", "cem", "dora", "emil", "faye")

_SHOWN_ORDERS = 8  # of a buyer
_SHOWN_ATTEMPTS = 60
_SHOWN_TASKS = 30
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


class GoodsView(BaseModel):
    goods_id: str
    note: str
    market: Market | None = None
    problem: str | None = None


class OrderView(BaseModel):
    """One order: what the platform, the cashier and the callbacks say of it."""

    order: platform.Order
    team: Team | None
    refund: Refund | None
    payment: Payment | None
    money_back: Decimal
    to_do: Task | None


class SwitchesView(BaseModel):
    way: Transport
    mood: Mood
    no_rabbitmq: str | None
    """why RabbitMQ cannot be switched to now"""
    slow_seconds: float


class ShopView(BaseModel):
    """Everything that the page shows to one buyer."""

    now: datetime
    buyer: str
    goods: list[GoodsView]
    orders: list[OrderView]
    problem: str | None
    arrivals: list[Attempt]
    to_do: list[Order]
    switches: SwitchesView


class Shop:
    def __init__(
        self,
        platform: Platform,
        cashier: Cashier,
        store: Store,
        switches: Switches,
        amqp_receiver: AmqpReceiver,
        *,
        routing_key: str,
        slow_seconds: float,
    ) -> None:
        self._platform = platform
        self._cashier = cashier
        self._store = store
        self._switches = switches
        self._amqp_receiver = amqp_receiver
        self._routing_key = routing_key
        self._slow_seconds = slow_seconds

    async def view(self, buyer: str, team_id: str | None) -> ShopView:
        """What the platform does not answer is replaced by a problem; what the mall itself knows is always complete."""
        goods, (orders, problem) = await asyncio.gather(
            asyncio.gather(*(self._goods_view(goods, buyer) for goods in CATALOGUE)), self._order_views(buyer)
        )
        switches = self._switches
        return ShopView(
            now=datetime.now(UTC),
            buyer=buyer,
            goods=goods,
            orders=orders,
            problem=problem,
            arrivals=self._store.attempts(team_id, _SHOWN_ATTEMPTS),
            to_do=self._store.orders(team_id, _SHOWN_TASKS),
            switches=SwitchesView(
                way=switches.way, mood=switches.mood, no_rabbitmq=self._amqp_receiver.problem, slow_seconds=self._slow_seconds
            ),
        )

    async def take_seat(self, buyer: str, goods_id: str, team_id: str | None) -> str:
        """Returns the out_trade_no of the new order."""
        request: dict[str, JsonValue] = {
            "out_trade_no": f"M{datetime.now(UTC):%m%d%H%M%S}-{secrets.token_hex(3)}",
            "user_id": buyer,
            "goods_id": goods_id,
            "channel": CHANNEL,
        }
        if team_id is not None:
            request["team_id"] = team_id
        if self._switches.way is Transport.RABBITMQ:
            request["callback"] = {"kind": "amqp", "routing_key": self._routing_key}
        return (await self._platform.lock(request)).out_trade_no

    async def pay(self, out_trade_no: str, mode: PaymentMode) -> None:
        order = await self._platform.order(out_trade_no)
        try:
            await self._cashier.take(order, mode)
        except PlatformUnavailable as exc:
            raise PlatformError("The cashier has the money, and reports it when the platform is back.") from exc

    async def refund(self, out_trade_no: str) -> None:
        await self._platform.request_refund(out_trade_no, "changed my mind")

    def switch(self, new: NewSwitches) -> None:
        if new.way is Transport.RABBITMQ and self._amqp_receiver.problem:
            raise PlatformError(self._amqp_receiver.problem)
        self._switches.set(new)

    async def _goods_view(self, goods: Goods, buyer: str) -> GoodsView:
        try:
            market = await self._platform.market(goods.goods_id, CHANNEL, buyer)
        except PlatformError as error:
            return GoodsView(goods_id=goods.goods_id, note=goods.note, problem=str(error))
        return GoodsView(goods_id=goods.goods_id, note=goods.note, market=market)

    async def _order_views(self, buyer: str) -> tuple[list[OrderView], str | None]:
        try:
            orders = await self._platform.orders(buyer, _SHOWN_ORDERS)
            return await asyncio.gather(*(self._order_view(order) for order in orders)), None
        except PlatformError as error:
            return [], str(error)

    async def _order_view(self, order: platform.Order) -> OrderView:
        number = order.out_trade_no
        payment, stored = self._store.payment(number), self._store.order(number)
        team = None if order.status in _FINISHED else await self._platform.team(order.team_id)
        # The page shows no refund of an order that was never paid.
        refund = None if payment is None or order.status == "locked" else await self._platform.find_refund(number)
        return OrderView(
            order=order,
            team=team,
            refund=refund,
            payment=payment,
            money_back=self._store.refunded_amount(number),
            to_do=stored and stored.to_do,
        )
