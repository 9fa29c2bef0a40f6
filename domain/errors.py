"""Every refusal has a code. The codes, their statuses and meanings are design.md section 8's.

GroupBuyError
├── Refusal            a rule said no: final for this request, changes nothing
│   └── ConfirmationRequired   the same request is accepted with a confirmation
└── Unavailable        a part is away: the outcome is open, repeat the same request
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class ErrorCode(StrEnum):
    INVALID_REQUEST = "invalid_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    ORDER_NOT_FOUND = "order_not_found"
    TEAM_NOT_FOUND = "team_not_found"
    GOODS_NOT_FOUND = "goods_not_found"
    CAMPAIGN_NOT_FOUND = "campaign_not_found"
    REFUND_NOT_FOUND = "refund_not_found"
    AUDIENCE_NOT_FOUND = "audience_not_found"
    EVENT_NOT_FOUND = "event_not_found"
    KEY_NOT_FOUND = "key_not_found"
    MALL_NOT_FOUND = "mall_not_found"
    SWITCH_NOT_FOUND = "switch_not_found"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CAMPAIGN_INACTIVE = "campaign_inactive"
    CAMPAIGN_NOT_OPEN = "campaign_not_open"
    CAMPAIGN_CONFLICT = "campaign_conflict"
    AUDIENCE_CONFLICT = "audience_conflict"
    CONFIRMATION_REQUIRED = "confirmation_required"
    AUDIENCE_RESTRICTED = "audience_restricted"
    USER_OUTSIDE_ROLLOUT = "user_outside_rollout"
    MALL_BLOCKED = "mall_blocked"
    TAKE_LIMIT_REACHED = "take_limit_reached"
    STOCK_EXHAUSTED = "stock_exhausted"
    ALREADY_IN_TEAM = "already_in_team"
    TEAM_FULL = "team_full"
    TEAM_CLOSED = "team_closed"
    REFUND_WINDOW_CLOSED = "refund_window_closed"
    OUT_TRADE_NO_REUSED = "out_trade_no_reused"
    RATE_LIMITED = "rate_limited"
    GROUP_BUYING_SUSPENDED = "group_buying_suspended"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
    INTERNAL_ERROR = "internal_error"


class ErrorMeaning(NamedTuple):
    status: int
    title: str
    retryable: bool = False


MEANINGS: dict[ErrorCode, ErrorMeaning] = {
    ErrorCode.INVALID_REQUEST: ErrorMeaning(422, "A field is missing or malformed"),
    ErrorCode.UNAUTHORIZED: ErrorMeaning(401, "No key, or an unknown one"),
    ErrorCode.FORBIDDEN: ErrorMeaning(403, "This key may not do that"),
    ErrorCode.ORDER_NOT_FOUND: ErrorMeaning(404, "No such order"),
    ErrorCode.TEAM_NOT_FOUND: ErrorMeaning(404, "No such team"),
    ErrorCode.GOODS_NOT_FOUND: ErrorMeaning(404, "No such goods"),
    ErrorCode.CAMPAIGN_NOT_FOUND: ErrorMeaning(404, "No such campaign"),
    ErrorCode.REFUND_NOT_FOUND: ErrorMeaning(404, "No such refund"),
    ErrorCode.AUDIENCE_NOT_FOUND: ErrorMeaning(404, "No such audience"),
    ErrorCode.EVENT_NOT_FOUND: ErrorMeaning(404, "No such event"),
    ErrorCode.KEY_NOT_FOUND: ErrorMeaning(404, "No such key"),
    ErrorCode.MALL_NOT_FOUND: ErrorMeaning(404, "No such mall"),
    ErrorCode.SWITCH_NOT_FOUND: ErrorMeaning(404, "No such switch"),
    ErrorCode.NOT_FOUND: ErrorMeaning(404, "No such page"),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorMeaning(405, "This page does not take that method"),
    ErrorCode.CAMPAIGN_INACTIVE: ErrorMeaning(409, "The campaign takes no such seat now"),
    ErrorCode.CAMPAIGN_NOT_OPEN: ErrorMeaning(409, "The campaign has not begun, or is over"),
    ErrorCode.CAMPAIGN_CONFLICT: ErrorMeaning(409, "The campaign cannot be saved like that"),
    ErrorCode.AUDIENCE_CONFLICT: ErrorMeaning(409, "The audience cannot be changed like that now"),
    ErrorCode.CONFIRMATION_REQUIRED: ErrorMeaning(409, "This may lose money: confirm it, or change it"),
    ErrorCode.AUDIENCE_RESTRICTED: ErrorMeaning(403, "The campaign is not for this buyer"),
    ErrorCode.USER_OUTSIDE_ROLLOUT: ErrorMeaning(403, "Group buying is not yet open to this buyer"),
    ErrorCode.MALL_BLOCKED: ErrorMeaning(403, "This channel of the mall may not trade now"),
    ErrorCode.TAKE_LIMIT_REACHED: ErrorMeaning(409, "The buyer's limit in this campaign is reached"),
    ErrorCode.STOCK_EXHAUSTED: ErrorMeaning(409, "The campaign's stock is exhausted"),
    ErrorCode.ALREADY_IN_TEAM: ErrorMeaning(409, "The buyer has a seat in this team already"),
    ErrorCode.TEAM_FULL: ErrorMeaning(409, "Every seat of the team is taken"),
    ErrorCode.TEAM_CLOSED: ErrorMeaning(409, "The team takes nobody any more"),
    ErrorCode.REFUND_WINDOW_CLOSED: ErrorMeaning(409, "The time for refunds is over"),
    ErrorCode.OUT_TRADE_NO_REUSED: ErrorMeaning(422, "This out_trade_no stands for something else"),
    ErrorCode.RATE_LIMITED: ErrorMeaning(429, "Too much at once", retryable=True),
    ErrorCode.GROUP_BUYING_SUSPENDED: ErrorMeaning(503, "Group buying is switched off"),
    ErrorCode.TEMPORARILY_UNAVAILABLE: ErrorMeaning(503, "Try the same request again", retryable=True),
    ErrorCode.INTERNAL_ERROR: ErrorMeaning(500, "A defect of ours", retryable=True),
}


class GroupBuyError(Exception):
    """Base of every error that a caller may see.

    Args:
        code: what went wrong, for programs.
        detail: what went wrong in this very case, for people.
        retry_after: seconds after which it may be otherwise, where that is known.
    """

    def __init__(self, code: ErrorCode, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class Refusal(GroupBuyError):
    """A rule said no. Nothing was changed; the same request gets the same answer until the facts change."""


class Risk(NamedTuple):
    """What may lose money: which field brings it, and how."""

    field: str
    message: str


class ConfirmationRequired(Refusal):
    """What was asked for may lose money, and nobody has said that this is wanted."""

    def __init__(self, risks: Sequence[Risk]) -> None:
        super().__init__(ErrorCode.CONFIRMATION_REQUIRED, f"{len(risks)} risk(s); accept them with ?confirm=true.")
        self.risks = tuple(risks)


class Unavailable(GroupBuyError):
    """Database, Temporal or worker is away, or did not answer in time: the outcome is open."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.TEMPORARILY_UNAVAILABLE, detail)
