"""The forward demo: a team from its first seat to its callback."""

from pydantic import JsonValue

from cli.demo.client import DemoError, Order, Orders, Quote, RefusedError, Team
from cli.demo.stage import BUYERS, CHANNEL, GOODS, LATE_BUYER, Stage


class ForwardJourney:
    """One team from the first seat to the mall's callback, told while it happens."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def play(self) -> str:
        """Returns the team's id."""
        await self._quote()
        opened = await self._open()
        orders = [opened, *await self._join(opened.team_id)]
        await self._one_too_many(opened.team_id)
        team = await self._pay(orders)
        await self._hear(opened.team_id)
        await self._list(orders)
        self._stage.link("the first team's history in Temporal", team.workflow)
        return opened.team_id

    async def _quote(self) -> None:
        stage = self._stage
        await stage.step("A quote: what the goods cost in a team, before anything is reserved")
        request: dict[str, JsonValue] = {"goods_id": GOODS, "channel": CHANNEL, "user_id": stage.user(BUYERS[0])}
        quote = (await stage.api.call(Quote, "POST", "/v1/quotes", request)).body
        await stage.tell(
            f"{quote.goods_name} ({GOODS}): {quote.original_price} − {quote.deduction} = {quote.pay_price} "
            f"in a team of {quote.target_count}, campaign {quote.campaign_id}"
        )
        if not quote.joinable:
            raise DemoError(f"campaign {quote.campaign_id} gives no seat now: {', '.join(quote.reasons)}")
        if quote.target_count != len(BUYERS):
            raise DemoError(f"the demo plays a team of {len(BUYERS)}, and the campaign now wants {quote.target_count}")

    async def _open(self) -> Order:
        stage = self._stage
        await stage.step("The opener locks a seat, which opens a team   ● paid  ◐ locked  ○ free")
        opener = BUYERS[0]
        order = (await stage.lock(opener)).body
        await self._tell_seat(opener, order)
        again = await stage.lock(opener)
        if again.body.order_id != order.order_id or not again.replayed:
            raise DemoError(f"the repeat of {order.out_trade_no} was not answered with the order it already has")
        await stage.tell(f"the same request again: {again.status}, Idempotent-Replayed: true, the same order")
        return order

    async def _join(self, team_id: str) -> list[Order]:
        await self._stage.step("Two more buyers join")
        orders = []
        for name in BUYERS[1:]:
            order = (await self._stage.lock(name, team_id)).body
            await self._tell_seat(name, order)
            orders.append(order)
        return orders

    async def _one_too_many(self, team_id: str) -> None:
        await self._stage.step("A fourth buyer comes too late")
        try:
            await self._stage.lock(LATE_BUYER, team_id)
        except RefusedError as refused:
            if refused.problem.code != "team_full":
                raise
            await self._stage.tell(f"{LATE_BUYER} is refused: {refused.status} team_full: {refused.problem.detail}")
        else:
            raise DemoError(f"{LATE_BUYER} got a seat in a full team")

    async def _pay(self, orders: list[Order]) -> Team:
        stage = self._stage
        await stage.step("The mall takes the money and reports each payment")
        for name, order in zip(BUYERS, orders, strict=True):
            payment = await stage.pay(name, order)
            team = payment.team
            await stage.tell(f"{team.seats}  {name} paid {order.pay_price}: {payment.outcome}, team {team.status}")
        if team.status != "completed":
            raise DemoError(f"everybody has paid, but the team is {team.status}")
        return team

    async def _hear(self, team_id: str) -> None:
        stage = self._stage
        await stage.step("The mall is called back to ship")
        for callback in await stage.callbacks(team_id, ("team.completed", None)):
            # The mall keeps, and so lists, only what it has verified.
            await stage.tell(f"{callback.type}: signature verified, sequence {callback.sequence}, {callback.event_id}")
            for name, value in callback.data.items():
                await stage.tell(f"  {name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")

    async def _list(self, orders: list[Order]) -> None:
        stage = self._stage
        await stage.step("The orders, as the mall reads them")
        for order in orders:
            listed = (await stage.api.call(Orders, "GET", f"/v1/orders?user_id={order.user_id}")).body
            for found in listed.data:
                await stage.tell(f"{found.user_id:<12} {found.out_trade_no:<18} {found.status:<10} {found.pay_price}")

    async def _tell_seat(self, name: str, order: Order) -> None:
        team = await self._stage.team(order.team_id)
        until = f"{order.lock_expires_at:%H:%M:%S} UTC"
        await self._stage.tell(f"{team.seats}  {name} locked a seat at {order.pay_price} until {until}, team {order.team_id}")
