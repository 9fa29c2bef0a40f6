"""Campaigns that the journeys make for themselves, and end."""

from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from cli.demo.client import require
from cli.demo.schemas import Campaign, Goods
from cli.demo.session import CHANNEL, Session


class Campaigns:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._campaigns: list[int] = []

    async def create(self, *, target_count: int, **seconds: int) -> str:
        """Creates goods and a campaign for them; returns the goods_id.

        The campaign also ends by itself, in case it cannot be ended here.
        """
        session, now = self._session, datetime.now(UTC)
        goods_id = session.new_goods_id()
        goods: dict[str, JsonValue] = {"name": f"Book, {session.shop.name}", "original_price": "100.00"}
        await session.ops.call(Goods, "PUT", f"/v1/ops/goods/{goods_id}", goods)
        request: dict[str, JsonValue] = {
            "name": f"For a {session.shop.name}",
            "status": "active",
            "starts_at": (now - timedelta(minutes=1)).isoformat(),
            "ends_at": (now + timedelta(hours=1)).isoformat(),
            "goods": [{"source": session.shop.source, "channel": CHANNEL, "goods_id": goods_id}],
            "discount": {"plan": "cut", "expr": "20"},
            "target_count": target_count,
            **seconds,
        }
        campaign = (await session.ops.call(Campaign, "POST", "/v1/ops/campaigns", request)).body
        self._campaigns.append(campaign.campaign_id)
        times = "".join(f", {name} {value} s" for name, value in seconds.items())
        await session.narrator.line(f"campaign {campaign.campaign_id}, made for this step: teams of {target_count}{times}")
        return goods_id

    async def end_all(self) -> None:
        while self._campaigns:
            path = f"/v1/ops/campaigns/{self._campaigns[-1]}"
            campaign = (await self._session.ops.call(Campaign, "PATCH", path, {"status": "ended"})).body
            require(f"campaign {campaign.campaign_id}", campaign.status, "ended")
            self._campaigns.pop()
