"""The catalogue of error codes, and the exceptions that carry them. docs/api.md lists the codes.

GroupBuyError
├── Refusal                    a rule refuses the request: final, nothing is changed
│   └── ConfirmationRequired   the same request is accepted with a confirmation
└── Unavailable                a dependency does not answer: the outcome is open, the same request is repeated

No caller sees these two: nothing was changed, and the request goes another way (docs/crowds.md).
StaleRequestError              the workflow got to the request after its caller may have given it up
NotDirectError                 the rows want more than a direct payment may do
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
    REDELIVERY_NOT_FOUND = "redelivery_not_found"
    EXPORT_NOT_FOUND = "export_not_found"
    EXPORT_NOT_READY = "export_not_ready"
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
    remedy: str
    """what the mall's developer, or an operator, does about it"""
    retryable: bool = False


MEANINGS: dict[ErrorCode, ErrorMeaning] = {
    ErrorCode.INVALID_REQUEST: ErrorMeaning(
        422, "A field is missing or malformed", "Correct the request: `errors` names each field and what is wrong with it."
    ),
    ErrorCode.UNAUTHORIZED: ErrorMeaning(
        401, "The key is missing or unknown", "Send `Authorization: Bearer <key>` with a key that is not revoked."
    ),
    ErrorCode.FORBIDDEN: ErrorMeaning(
        403,
        "The key does not allow this call",
        "Use a key of the right kind with the scope that `detail` names; an administrator creates one.",
    ),
    ErrorCode.ORDER_NOT_FOUND: ErrorMeaning(
        404, "No such order", "Check the out_trade_no, and that the key belongs to the mall that locked the order."
    ),
    ErrorCode.TEAM_NOT_FOUND: ErrorMeaning(
        404, "No such team", "Check the team_id: it must be a team of this mall, these goods and this campaign."
    ),
    ErrorCode.GOODS_NOT_FOUND: ErrorMeaning(404, "No such goods", "Check the goods_id, or let an operator create the goods."),
    ErrorCode.CAMPAIGN_NOT_FOUND: ErrorMeaning(
        404, "No such campaign", "No campaign sells these goods in this channel: sell them at their own price."
    ),
    ErrorCode.REFUND_NOT_FOUND: ErrorMeaning(404, "No such refund", "The order has no refund; request one."),
    ErrorCode.AUDIENCE_NOT_FOUND: ErrorMeaning(404, "No such audience", "Check the audience_id, or create the audience."),
    ErrorCode.EVENT_NOT_FOUND: ErrorMeaning(
        404, "No such event", "Check the event_id, and that the key belongs to the mall that the event was sent to."
    ),
    ErrorCode.REDELIVERY_NOT_FOUND: ErrorMeaning(
        404, "No such redelivery", "Check the redelivery_id, as the request to send a range again was answered."
    ),
    ErrorCode.EXPORT_NOT_FOUND: ErrorMeaning(
        404, "No such export", "Check the export_id. A file is kept for a day: export the list again."
    ),
    ErrorCode.EXPORT_NOT_READY: ErrorMeaning(
        409, "The file is not written yet", "Read the export until it is `done`. Where it `failed`, export the list again."
    ),
    ErrorCode.KEY_NOT_FOUND: ErrorMeaning(404, "No such key", "Check the key_id in the list of keys."),
    ErrorCode.MALL_NOT_FOUND: ErrorMeaning(404, "No such mall", "Check the source, or create the mall first."),
    ErrorCode.SWITCH_NOT_FOUND: ErrorMeaning(404, "No such switch", "Check the name in the list of switches."),
    ErrorCode.NOT_FOUND: ErrorMeaning(404, "No such page", "Check the address; /docs lists every call."),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorMeaning(
        405, "This page does not support the method", "Check the method; /docs lists every call."
    ),
    ErrorCode.CAMPAIGN_INACTIVE: ErrorMeaning(
        409,
        "The campaign's status allows no such seat",
        "The campaign is a draft, paused, draining or ended: offer the goods at their own price.",
    ),
    ErrorCode.CAMPAIGN_NOT_OPEN: ErrorMeaning(
        409,
        "The campaign has not begun, or is over",
        "Show starts_at and ends_at of the quote, and offer the goods at their own price meanwhile.",
    ),
    ErrorCode.CAMPAIGN_CONFLICT: ErrorMeaning(
        409, "The campaign cannot be saved like this", "Change what `detail` names, and save it again."
    ),
    ErrorCode.AUDIENCE_CONFLICT: ErrorMeaning(
        409, "The audience cannot be changed like this now", "Wait until what `detail` names is over, or change it first."
    ),
    ErrorCode.CONFIRMATION_REQUIRED: ErrorMeaning(
        409,
        "This may lose money: confirm it, or change it",
        "Read in `errors` what may be lost; then change it, or confirm it.",
    ),
    ErrorCode.AUDIENCE_RESTRICTED: ErrorMeaning(
        403,
        "The campaign is restricted to other buyers",
        "The buyer is not in the campaign's audience: offer the goods at their own price.",
    ),
    ErrorCode.USER_OUTSIDE_ROLLOUT: ErrorMeaning(
        403,
        "Group buying is not yet open to this buyer",
        "Offer the goods at their own price; an operator extends the switch `rollout`.",
    ),
    ErrorCode.MALL_BLOCKED: ErrorMeaning(
        403, "This channel of the mall is blocked", "An operator has blocked it with the switch `blocked`: ask them."
    ),
    ErrorCode.TAKE_LIMIT_REACHED: ErrorMeaning(
        409,
        "The buyer's limit in this campaign is reached",
        "The buyer has all the live orders that the campaign allows; a refund gives one back.",
    ),
    ErrorCode.STOCK_EXHAUSTED: ErrorMeaning(
        409, "The campaign's stock is exhausted", "No stock is left; a refund or an unpaid seat may give some back."
    ),
    ErrorCode.ALREADY_IN_TEAM: ErrorMeaning(
        409, "The buyer has a seat in this team already", "Show the order that the buyer has in this team."
    ),
    ErrorCode.TEAM_FULL: ErrorMeaning(409, "Every seat of the team is taken", "Show another team, or open one."),
    ErrorCode.TEAM_CLOSED: ErrorMeaning(409, "The team accepts no more members", "Show another team, or open one."),
    ErrorCode.REFUND_WINDOW_CLOSED: ErrorMeaning(
        409, "The refund window is over", "Refer the buyer to the mall's service; an operator may force the refund."
    ),
    ErrorCode.OUT_TRADE_NO_REUSED: ErrorMeaning(
        422,
        "This out_trade_no stands for something else",
        "Give every order a number of its own, and repeat a request only with the same content.",
    ),
    ErrorCode.RATE_LIMITED: ErrorMeaning(
        429,
        "Too many requests or unpaid seats",
        "Wait as long as Retry-After says, then repeat the request. A payment lets the buyer lock again at once.",
        retryable=True,
    ),
    ErrorCode.GROUP_BUYING_SUSPENDED: ErrorMeaning(
        503,
        "Group buying is suspended",
        "Offer the goods at their own price until an operator turns the switch `suspended` off.",
    ),
    ErrorCode.TEMPORARILY_UNAVAILABLE: ErrorMeaning(
        503,
        "Repeat the same request",
        "The outcome is open: after Retry-After repeat the request, with the same out_trade_no.",
        retryable=True,
    ),
    ErrorCode.INTERNAL_ERROR: ErrorMeaning(
        500,
        "The platform has a defect",
        "Repeat the same request; if the error persists, tell an operator the time and the request.",
        retryable=True,
    ),
}


class GroupBuyError(Exception):
    """Base of every error that a caller may see.

    Args:
        code: what is wrong, for programs.
        detail: what is wrong in this case, for people.
        retry_after: seconds after which a repeat may succeed, where that is known.
    """

    def __init__(self, code: ErrorCode, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class Refusal(GroupBuyError):
    """A rule refuses the request. Nothing was changed; a repeat is refused, too, until the facts change."""


class Risk(NamedTuple):
    """What may lose money: the field that causes it, and how."""

    field: str
    message: str


class ConfirmationRequired(Refusal):
    """The request may lose money, and does not confirm that this is intended."""

    def __init__(self, risks: Sequence[Risk]) -> None:
        super().__init__(ErrorCode.CONFIRMATION_REQUIRED, f"{len(risks)} risk(s); accept them with ?confirm=true.")
        self.risks = tuple(risks)


class Unavailable(GroupBuyError):
    """The database, Temporal or a worker does not answer in time, or too many requests wait: the outcome is open."""

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(ErrorCode.TEMPORARILY_UNAVAILABLE, detail, retry_after=retry_after)


class StaleRequestError(Exception):
    """The request is older than its caller waits for it. Nothing was changed."""


class NotDirectError(Exception):
    """The payment is none that may be booked beside the team's workflow. Nothing was changed."""
