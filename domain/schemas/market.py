"""The public JSON of the market: a quote, and the teams that a buyer may join."""

from domain.lifecycle import OrderStatus
from domain.schemas.quotes import Quote
from domain.types import Moment, Schema


class MarketMember(Schema):
    """A member of a team in the market."""

    user_id: str
    """masked, unless it is the buyer's own"""
    status: OrderStatus


class MarketTeam(Schema):
    """A forming team with free seats."""

    team_id: str
    campaign_id: int
    target_count: int
    lock_count: int
    complete_count: int
    seats_left: int
    opened_at: Moment
    deadline: Moment
    mine: bool
    """the buyer has a seat in it"""
    members: list[MarketMember]
    """the first members who hold a seat"""


class Statistics(Schema):
    """Counts of one campaign in one mall, since it began. Refunds do not lower them."""

    team_count: int
    completed_team_count: int
    user_count: int


class Market(Schema):
    """The quote for a buyer, and the teams that the buyer may join: those with a seat of the buyer first."""

    quote: Quote
    teams: list[MarketTeam]
    statistics: Statistics
