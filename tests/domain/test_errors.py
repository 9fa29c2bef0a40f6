"""The codes and statuses that malls program against."""

import pytest

from domain.errors import MEANINGS, ErrorCode, GroupBuyError, Refusal, Unavailable

STATUSES = {
    "invalid_request": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "order_not_found": 404,
    "team_not_found": 404,
    "goods_not_found": 404,
    "campaign_not_found": 404,
    "refund_not_found": 404,
    "campaign_inactive": 409,
    "campaign_not_open": 409,
    "audience_restricted": 403,
    "user_outside_rollout": 403,
    "mall_blocked": 403,
    "take_limit_reached": 409,
    "stock_exhausted": 409,
    "already_in_team": 409,
    "team_full": 409,
    "team_closed": 409,
    "refund_window_closed": 409,
    "out_trade_no_reused": 422,
    "rate_limited": 429,
    "group_buying_suspended": 503,
    "temporarily_unavailable": 503,
    "not_found": 404,
    "method_not_allowed": 405,
    "audience_not_found": 404,
    "event_not_found": 404,
    "redelivery_not_found": 404,
    "export_not_found": 404,
    "export_not_ready": 409,
    "key_not_found": 404,
    "mall_not_found": 404,
    "switch_not_found": 404,
    "campaign_conflict": 409,
    "audience_conflict": 409,
    "confirmation_required": 409,
    "internal_error": 500,
}


@pytest.mark.parametrize("code", [*ErrorCode])
def test_every_code_has_its_status_a_title_and_a_remedy(code: ErrorCode) -> None:
    meaning = MEANINGS[code]

    assert meaning.status == STATUSES[code]
    assert meaning.title
    assert meaning.title == meaning.title.strip().removesuffix(".")
    assert meaning.remedy.endswith(".")


def test_no_refusal_of_a_rule_is_retryable() -> None:
    """A repeat is refused, too, until the facts change."""
    assert {code for code, meaning in MEANINGS.items() if meaning.status < 429 and meaning.retryable} == set()
    assert MEANINGS[ErrorCode.TEMPORARILY_UNAVAILABLE].retryable


def test_an_error_carries_its_code_and_a_detail() -> None:
    refusal = Refusal(ErrorCode.TEAM_FULL, "No seat is left.")
    unavailable = Unavailable("The database is away.")

    assert (refusal.code, refusal.detail, str(refusal)) == ("team_full", "No seat is left.", "team_full: No seat is left.")
    assert unavailable.code is ErrorCode.TEMPORARILY_UNAVAILABLE
    assert isinstance(refusal, GroupBuyError)
    assert isinstance(unavailable, GroupBuyError)
