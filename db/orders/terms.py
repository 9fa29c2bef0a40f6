"""The terms on which a buyer would join a team: looked up with what else a request needs to know, or read alone."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from db.campaigns.offers import campaign_terms, is_member, join_facts
from db.core.connection import Connection, Row
from domain.eligibility import Facts
from domain.lifecycle import TeamStatus
from domain.messages.orders import SeatRequest
from domain.pricing import Discount, parse_discount, pay_price


@dataclass(frozen=True, slots=True)
class TeamTerms:
    """A team for one buyer, at one moment."""

    status: TeamStatus
    deadline: datetime
    is_sold: bool
    """in the buyer's channel"""
    original_price: Decimal
    discount: Discount
    """the team pins it, and its share; whether it is for this buyer depends on the audience"""
    in_discount_audience: bool
    merchant_share: int
    take_limit: int
    facts: Facts

    @property
    def pay_price(self) -> Decimal:
        return pay_price(self.original_price, self.discount, in_audience=self.in_discount_audience)


def terms_columns(*, user: str, channel: str) -> str:
    """Returns SQL: the columns that `team_terms` reads, of the team `t` and its campaign `c`."""
    return f"""
       t.status AS team_status, t.deadline, t.original_price AS team_price, t.discount, t.merchant_share,
       c.take_limit AS campaign_take_limit, {is_member("t.discount ->> 'audience'", user)} AS in_discount_audience,
       -- A team goes on in the channel that it was opened in, also after its campaign stopped selling the goods there.
       (EXISTS (SELECT FROM campaign_goods b WHERE b.campaign_id = t.campaign_id AND b.source = t.source
                   AND b.goods_id = t.goods_id AND b.channel = {channel})
        OR EXISTS (SELECT FROM orders f WHERE f.team_id = t.team_id AND f.opened_team AND f.channel = {channel})) AS is_sold,
       {campaign_terms(user)}"""


TERMS = f"""
SELECT {terms_columns(user="$5", channel="$6")} FROM teams t JOIN campaigns c USING (campaign_id)
 WHERE t.team_id = $1 AND t.source = $2 AND t.goods_id = $3 AND ($4::int IS NULL OR t.campaign_id = $4)
"""


async def read_team_terms(conn: Connection, request: SeatRequest, now: datetime) -> TeamTerms | None:
    """Returns the terms for this request; None: no team with this id has its mall, goods and campaign."""
    team = (request.team_id, request.source, request.goods_id, request.campaign_id)
    row = await conn.fetchrow(TERMS, *team, request.user_id, request.channel)
    return team_terms(row, request, now) if row else None


def team_terms(row: Row, request: SeatRequest, now: datetime) -> TeamTerms:
    """Converts a row with `terms_columns`."""
    return TeamTerms(
        status=TeamStatus(row["team_status"]),
        deadline=row["deadline"],
        is_sold=row["is_sold"],
        original_price=row["team_price"],
        discount=parse_discount(row["discount"]),
        in_discount_audience=row["in_discount_audience"],
        merchant_share=row["merchant_share"],
        take_limit=row["campaign_take_limit"],
        facts=join_facts(row, request, now),
    )
