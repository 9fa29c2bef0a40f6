"""What a mall's developer, or an operator, does about each code: the pages that an error's `type` leads to."""

from domain.errors import MEANINGS, ErrorCode

REMEDIES: dict[ErrorCode, str] = {
    ErrorCode.INVALID_REQUEST: "Mend the request: `errors` names each field and what is wrong with it.",
    ErrorCode.UNAUTHORIZED: "Send `Authorization: Bearer <key>` with a key that was not revoked.",
    ErrorCode.FORBIDDEN: "Use a key of the right kind with the scope that `detail` names; an administrator makes one.",
    ErrorCode.ORDER_NOT_FOUND: "Check the out_trade_no, and that the key is of the mall that locked the order.",
    ErrorCode.TEAM_NOT_FOUND: "Check the team_id: it must be a team of this mall, these goods and this campaign.",
    ErrorCode.GOODS_NOT_FOUND: "Check the goods_id, or have an operator create the goods.",
    ErrorCode.CAMPAIGN_NOT_FOUND: "No campaign sells these goods in this channel: sell them at their own price.",
    ErrorCode.REFUND_NOT_FOUND: "The order has no refund; ask for one.",
    ErrorCode.AUDIENCE_NOT_FOUND: "Check the audience_id, or create the audience.",
    ErrorCode.EVENT_NOT_FOUND: "Check the event_id, and that the key is of the mall that the event was sent to.",
    ErrorCode.KEY_NOT_FOUND: "Check the key_id in the list of keys.",
    ErrorCode.MALL_NOT_FOUND: "Check the source, or admit the mall first.",
    ErrorCode.SWITCH_NOT_FOUND: "Check the name in the list of switches.",
    ErrorCode.NOT_FOUND: "Check the address; /docs lists every call.",
    ErrorCode.METHOD_NOT_ALLOWED: "Check the method; /docs lists every call.",
    ErrorCode.CAMPAIGN_INACTIVE: "The campaign is a draft, paused, draining or ended: offer the goods at their own price.",
    ErrorCode.CAMPAIGN_NOT_OPEN: "Show starts_at and ends_at of the quote, and offer the goods at their own price meanwhile.",
    ErrorCode.CAMPAIGN_CONFLICT: "Change what `detail` names, and save it again.",
    ErrorCode.AUDIENCE_CONFLICT: "Wait until what `detail` names is over, or change it first.",
    ErrorCode.CONFIRMATION_REQUIRED: "Read what `detail` says may be lost; then change it, or confirm it.",
    ErrorCode.AUDIENCE_RESTRICTED: "The campaign is for other buyers: offer the goods at their own price.",
    ErrorCode.USER_OUTSIDE_ROLLOUT: "Offer the goods at their own price; an operator widens the switch rollout.",
    ErrorCode.MALL_BLOCKED: "An operator has blocked this channel (the switch blocked): ask there.",
    ErrorCode.TAKE_LIMIT_REACHED: "The buyer has all the live orders that the campaign allows; a refund gives one back.",
    ErrorCode.STOCK_EXHAUSTED: "Nothing is left; a refund or an unpaid seat may give some back.",
    ErrorCode.ALREADY_IN_TEAM: "The buyer has a seat in this team: show that order.",
    ErrorCode.TEAM_FULL: "Show another team, or open one.",
    ErrorCode.TEAM_CLOSED: "Show another team, or open one.",
    ErrorCode.REFUND_WINDOW_CLOSED: "The buyer asks the mall's service; an operator may force the refund.",
    ErrorCode.OUT_TRADE_NO_REUSED: "Give every order a number of its own, and repeat a request only with the same content.",
    ErrorCode.RATE_LIMITED: "Wait as long as Retry-After says, then repeat the request. A buyer who pays is free at once.",
    ErrorCode.GROUP_BUYING_SUSPENDED: "Offer the goods at their own price until an operator turns the switch suspended off.",
    ErrorCode.TEMPORARILY_UNAVAILABLE: "The outcome is open: after Retry-After repeat the request, with the same out_trade_no.",
    ErrorCode.INTERNAL_ERROR: "Repeat the same request; if it stays, tell an operator the time and the request.",
}


def remedy(code: ErrorCode) -> str:
    """What to do about it."""
    usual = (
        "Repeat the same request after a moment." if MEANINGS[code].retryable else "Read `detail`, and change what it names."
    )
    return REMEDIES.get(code, usual)
