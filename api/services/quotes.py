"""Quotes and the market: the cached offer of a campaign, and the buyer's own state read from the rows."""

from collections.abc import Sequence
from datetime import UTC, datetime

from api.runtime.cache import Cache
from api.runtime.quote_counts import QuoteCounts
from api.runtime.shared_reads import SharedReads
from api.runtime.statistics import StatisticsCache
from api.runtime.turns import Turn, Turns
from db.campaigns.market import MarketView, teams_for, teams_for_all
from db.campaigns.offers import read_buyer_states, read_offers
from db.core.connection import Database, connection
from db.settings.switches import read_switches
from domain.eligibility import SeatIntent, is_visible
from domain.quotes import BuyerState, Offer, QuoteContext, choose_offer, quote, quote_context
from domain.schemas.market import Market, MarketTeam
from domain.schemas.quotes import QuoteRequest
from domain.switches import Switches


class QuoteService:
    def __init__(
        self, database: Database, cache: Cache, statistics: StatisticsCache, turns: Turns, counts: QuoteCounts
    ) -> None:
        self._database = database
        self._buyers = SharedReads(self._read_buyers)
        self._teams_for_all = SharedReads(self._read_teams)
        self._cache = cache
        self._statistics = statistics
        self._turns = turns
        self._counts = counts

    async def quote_context(self, source: str, request: QuoteRequest) -> QuoteContext:
        """Returns what a quote is computed from.

        Raises:
            Refusal: goods_not_found, campaign_not_found.
            Unavailable: too many requests wait.
        """
        async with self._turns.take(Turn.QUOTE):
            return await self._context(source, request, datetime.now(UTC))

    async def market(self, source: str, request: QuoteRequest, limit: int) -> Market:
        """Returns a quote with at most `limit` teams to join; buyers who may not see the offer see only their own teams.

        Raises:
            Refusal: goods_not_found, campaign_not_found.
            Unavailable: too many requests wait.
        """
        async with self._turns.take(Turn.QUOTE):
            now = datetime.now(UTC)
            context = await self._context(source, request, now)
            view = MarketView(source, context.offer.campaign_id, request.goods_id, limit)
            teams = await self._teams(view, context, now)
            statistics = await self._statistics.get(source, view.campaign_id)
        return Market(quote=quote(context), teams=teams, statistics=statistics)

    async def _teams(self, view: MarketView, context: QuoteContext, now: datetime) -> list[MarketTeam]:
        sees_others = is_visible(context.facts)
        if context.buyer.live_orders:
            async with connection(self._database) as conn:
                return await teams_for(conn, view, now, context.buyer.user_id, sees_others=sees_others)
        return await self._teams_for_all.get(view) if sees_others else []

    async def _read_teams(self, views: Sequence[MarketView]) -> list[list[MarketTeam]]:
        async with connection(self._database) as conn:
            return await teams_for_all(conn, views, datetime.now(UTC))

    async def _context(self, source: str, request: QuoteRequest, now: datetime) -> QuoteContext:
        offer, switches = await self._offer(source, request, now), await self._switches()
        self._counts.count(source, offer.campaign_id, now)
        buyer = await self._buyers.get((offer, request.user_id))
        return quote_context(offer, buyer, switches, SeatIntent.EITHER, now)

    async def _read_buyers(self, buyers: Sequence[tuple[Offer, str]]) -> list[BuyerState]:
        async with connection(self._database) as conn:
            return await read_buyer_states(conn, buyers)

    async def _offer(self, source: str, request: QuoteRequest, now: datetime) -> Offer:
        key = (source, request.channel, request.goods_id, request.campaign_id)

        async def read() -> list[Offer]:
            async with connection(self._database) as conn:
                return await read_offers(conn, *key, now)

        # Which campaign sells the goods depends on every campaign, so a change of any of them invalidates the offers. Time
        # does, too: one may begin or end while they are cached.
        offers = await self._cache.get(("offers", *key), read, lambda _: ["campaign", f"goods/{request.goods_id}"])
        return choose_offer(offers, now)

    async def _switches(self) -> Switches:
        return await self._cache.get("switches", lambda: read_switches(self._database), lambda _: ["switch"])
