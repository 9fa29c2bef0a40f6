"""The public JSON of quotes."""

from domain.errors import ErrorCode
from domain.types import CampaignId, Identifier, Moment, Money, Schema


class QuoteRequest(Schema):
    """Asks for price and eligibility of one user."""

    goods_id: Identifier
    channel: Identifier
    user_id: Identifier
    campaign_id: CampaignId | None = None


class Quote(Schema):
    """Price and eligibility of one user for goods in a campaign. Nothing is reserved."""

    campaign_id: int
    goods_id: str
    goods_name: str
    original_price: Money
    deduction: Money
    pay_price: Money
    target_count: int
    visible: bool
    """whether the user may see the campaign"""
    joinable: bool
    """whether the user may take a seat"""
    reasons: list[ErrorCode]
    """why not: the codes of all rules that refuse"""
    starts_at: Moment
    ends_at: Moment


Input = bool | int | str | list[str] | None


class RuleResult(Schema):
    """The inputs and the result of one rule."""

    rule: str
    passed: bool
    code: ErrorCode | None
    inputs: dict[str, Input]


class ExplainedQuote(Quote):
    """A quote with all rules, in the order in which they are applied."""

    rules: list[RuleResult]
