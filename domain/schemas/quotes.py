"""What malls and operators see of a trade: order, team, payment, quote (design.md section 8)."""

from domain.errors import ErrorCode
from domain.types import CampaignId, Identifier, Moment, Money, Schema


class QuoteRequest(Schema):
    goods_id: Identifier
    channel: Identifier
    user_id: Identifier
    campaign_id: CampaignId | None = None


class Quote(Schema):
    campaign_id: int
    goods_id: str
    goods_name: str
    original_price: Money
    deduction: Money
    pay_price: Money
    target_count: int
    visible: bool
    joinable: bool
    reasons: list[ErrorCode]
    starts_at: Moment
    ends_at: Moment


Input = bool | int | str | list[str] | None


class RuleResult(Schema):
    """What one rule looked at, and what it says."""

    rule: str
    passed: bool
    code: ErrorCode | None
    inputs: dict[str, Input]


class ExplainedQuote(Quote):
    rules: list[RuleResult]
