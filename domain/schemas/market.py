"""What malls and operators see of a trade: order, team, payment, quote (design.md section 8)."""

from domain.lifecycle import (
    OrderStatus,
)
from domain.schemas.quotes import Quote
from domain.types import Moment, Schema


class MarketMember(Schema):
    user_id: str
    """masked, unless it is the buyer's own"""
    status: OrderStatus


class MarketTeam(Schema):
    """A team with free seats, as a buyer finds it."""

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
    """the first ones who hold a seat"""


class Statistics(Schema):
    """Of one campaign in one mall, since it began: what is undone stays counted."""

    team_count: int
    completed_team_count: int
    user_count: int


class Market(Schema):
    quote: Quote
    teams: list[MarketTeam]
    statistics: Statistics
