"""Reading what is on offer to a buyer."""

from db.connection import Connection, Row
from domain.campaigns import CampaignStatus
from domain.discounts import Discount
from domain.eligibility import Offer
from domain.errors import ErrorCode, Refusal
from domain.messages import SeatRequest
from domain.trade import QuoteRequest

OFFER = """
SELECT c.campaign_id, c.version AS campaign_version, c.status, c.starts_at, c.ends_at, c.target_count, c.min_count,
       c.lock_ttl, c.payment_grace, c.team_ttl, c.refund_window, c.take_limit, c.discount,
       g.goods_id, g.name AS goods_name, g.original_price,
       coalesce(q.live, 0) AS live_orders, s.stock - s.live AS stock_left
  FROM campaign_goods b
  JOIN campaigns c USING (campaign_id)
  JOIN goods g USING (goods_id)
  LEFT JOIN user_quotas q ON q.campaign_id = c.campaign_id AND q.source = b.source AND q.user_id = $4
  LEFT JOIN campaign_stock s ON s.campaign_id = c.campaign_id
 WHERE b.source = $1 AND b.channel = $2 AND b.goods_id = $3 AND ($5::int IS NULL OR b.campaign_id = $5)
 ORDER BY b.active DESC, c.status IN ('draft', 'ended'), c.updated_at DESC
 LIMIT 1
"""

GOODS_EXIST = "SELECT EXISTS (SELECT FROM goods WHERE goods_id = $1)"


async def read_offer(connection: Connection, source: str, asked: QuoteRequest | SeatRequest) -> Offer:
    """The campaign that sells these goods in this place: the named one, else the active one, else the latest.

    Raises:
        Refusal: goods_not_found, campaign_not_found.
    """
    row = await connection.fetchrow(OFFER, source, asked.channel, asked.goods_id, asked.user_id, asked.campaign_id)
    if row is not None:
        return _offer(row)
    if not await connection.fetchval(GOODS_EXIST, asked.goods_id):
        raise Refusal(ErrorCode.GOODS_NOT_FOUND, f"There are no goods {asked.goods_id}.")
    wanted = "No campaign" if asked.campaign_id is None else f"No campaign {asked.campaign_id}"
    where = f"in channel {asked.channel} of {source}"
    raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"{wanted} sells goods {asked.goods_id} {where}.")


def _offer(row: Row) -> Offer:
    return Offer(
        campaign_id=row["campaign_id"],
        campaign_version=row["campaign_version"],
        status=CampaignStatus(row["status"]),
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        target_count=row["target_count"],
        min_count=row["min_count"],
        lock_ttl=row["lock_ttl"],
        payment_grace=row["payment_grace"],
        team_ttl=row["team_ttl"],
        refund_window=row["refund_window"],
        take_limit=row["take_limit"],
        discount=Discount.model_validate_json(row["discount"]),
        goods_id=row["goods_id"],
        goods_name=row["goods_name"],
        original_price=row["original_price"],
        live_orders=row["live_orders"],
        stock_left=row["stock_left"],
    )
