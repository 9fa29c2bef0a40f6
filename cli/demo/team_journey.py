"""The first journey: a team from its first seat to its callback."""

from pydantic import JsonValue

from cli.demo.client import JourneyError, RefusedError
from cli.demo.narrator import as_text
from cli.demo.schemas import Order, Orders, Quote, Team
from cli.demo.session import BUYERS, CHANNEL, LATE_BUYER, Session


class TeamJourney:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._narrator = session.narrator

    async def play(self) -> str:
        """Returns the team's id."""
        await self._quote()
        opener = await self._open()
        orders = [opener, *await self._join(opener.team_id)]
        await self._refuse_fourth(opener.team_id)
        team = await self._pay(orders)
        await self._receive_callback(opener.team_id)
        await self._list_orders(orders)
        self._narrator.link("the first team's history in Temporal", team.workflow)
        return opener.team_id

    async def _quote(self) -> None:
        await self._narrator.step("A quote: what the goods cost in a team, before anything is reserved")
        goods_id = self._session.goods_id
        request: dict[str, JsonValue] = {"goods_id": goods_id, "channel": CHANNEL, "user_id": self._session.user(BUYERS[0])}
        quote = (await self._session.api.call(Quote, "POST", "/v1/quotes", request)).body
        await self._narrator.line(
            f"{quote.goods_name} ({goods_id}): {quote.original_price} − {quote.deduction} = {quote.pay_price} "
            f"in a team of {quote.target_count}, campaign {quote.campaign_id}"
        )
        if not quote.joinable:
            raise JourneyError(f"campaign {quote.campaign_id} gives no seat now: {', '.join(quote.reasons)}")
        if quote.target_count != len(BUYERS):
            raise JourneyError(f"a team of {len(BUYERS)} is played, and the campaign now wants {quote.target_count}")

    async def _open(self) -> Order:
        await self._narrator.step("The opener locks a seat, which opens a team   ● paid  ◐ locked  ○ free")
        opener = BUYERS[0]
        order = (await self._session.lock(opener)).body
        await self._show_seat(opener, order)
        again = await self._session.lock(opener)
        if again.body.order_id != order.order_id or not again.replayed:
            raise JourneyError(f"the repeat of {order.out_trade_no} was not answered with the order it already has")
        await self._narrator.line(f"the same request again: {again.status}, Idempotent-Replayed: true, the same order")
        return order

    async def _join(self, team_id: str) -> list[Order]:
        await self._narrator.step("Two more buyers join")
        orders = []
        for name in BUYERS[1:]:
            order = (await self._session.lock(name, team_id)).body
            await self._show_seat(name, order)
            orders.append(order)
        return orders

    async def _refuse_fourth(self, team_id: str) -> None:
        await self._narrator.step("A fourth buyer comes too late")
        try:
            await self._session.lock(LATE_BUYER, team_id)
        except RefusedError as refused:
            if refused.problem.code != "team_full":
                raise
            await self._narrator.line(f"{LATE_BUYER} is refused: {refused.status} team_full: {refused.problem.detail}")
        else:
            raise JourneyError(f"{LATE_BUYER} got a seat in a full team")

    async def _pay(self, orders: list[Order]) -> Team:
        await self._narrator.step("The mall takes the money and reports each payment")
        for name, order in zip(BUYERS, orders, strict=True):
            payment = await self._session.pay(name, order)
            team = payment.team
            await self._narrator.line(f"{team.seats}  {name} paid {order.pay_price}: {payment.outcome}, team {team.status}")
        if team.status != "completed":
            raise JourneyError(f"everybody has paid, but the team is {team.status}")
        return team

    async def _receive_callback(self, team_id: str) -> None:
        await self._narrator.step("The mall is called back to ship")
        for callback in await self._session.callbacks(team_id, ("team.completed", None)):
            await self._narrator.line(f"{callback.type}: signature verified, sequence {callback.sequence}, {callback.event_id}")
            for name, value in callback.data.items():
                await self._narrator.line(f"  {name}: {as_text(value)}")

    async def _list_orders(self, orders: list[Order]) -> None:
        await self._narrator.step("The orders, as the mall reads them")
        for order in orders:
            listed = (await self._session.api.call(Orders, "GET", f"/v1/orders?user_id={order.user_id}")).body
            for each in listed.data:
                await self._narrator.line(f"{each.user_id:<12} {each.out_trade_no:<18} {each.status:<10} {each.pay_price}")

    async def _show_seat(self, name: str, order: Order) -> None:
        team = await self._session.team(order.team_id)
        until = f"{order.lock_expires_at:%H:%M:%S} UTC"
        await self._narrator.line(
            f"{team.seats}  {name} locked a seat at {order.pay_price} until {until}, team {order.team_id}"
        )
