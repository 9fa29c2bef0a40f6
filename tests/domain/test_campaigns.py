"""The fields of a campaign, and its changes that need a confirmation."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from domain.campaigns import campaign_risks, price_risks, require_confirmation
from domain.errors import ConfirmationRequired, ErrorCode, Refusal
from domain.lifecycle import CampaignStatus, require_transition
from domain.pricing import Discount
from domain.schemas.campaigns import AudienceScope, Campaign, CampaignFields, NewCampaign

GOODS = {"source": "s01", "channel": "c01", "goods_id": "9890001"}
LEAST: dict[str, Any] = {
    "name": "Read together",
    "starts_at": "2026-01-01T00:00:00Z",
    "ends_at": "2027-01-01T00:00:00Z",
    "goods": [GOODS],
    "discount": {"plan": "cut", "expr": "20"},
    "target_count": 3,
}


def campaign(**fields: Any) -> Campaign:  # noqa: ANN401
    return Campaign.model_validate(LEAST | {"campaign_id": 100123, "version": 7, "updated_at": datetime.now(UTC)} | fields)


def test_the_defaults() -> None:
    fields = CampaignFields.model_validate(LEAST)

    assert fields.status is CampaignStatus.DRAFT
    assert (fields.lock_ttl, fields.payment_grace, fields.team_ttl) == (15 * 60, 30, 24 * 3600)
    assert (fields.refund_window, fields.take_limit, fields.currency) == (7 * 24 * 3600, 1, "CNY")
    assert (fields.min_count, fields.stock, fields.audience) == (None, None, None)
    assert fields.audience_scope == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"target_count": 2},
        {"target_count": 1000},
        {"min_count": 1},
        {"min_count": 3},
        {"min_count": None},
        {"lock_ttl": 1},
        {"payment_grace": 0},
        {"team_ttl": 1},
        {"refund_window": 0},
        {"take_limit": 1_000_000},
        {"stock": 0},
        {"audience": "vip", "audience_scope": ["visible", "join"]},
        {"campaign_id": 1},
        {"goods": [GOODS, GOODS | {"channel": "c02"}]},
    ],
)
def test_valid_fields(fields: dict[str, Any]) -> None:
    NewCampaign.model_validate(LEAST | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"target_count": 1},
        {"target_count": 1001},
        {"target_count": 2.5},
        {"target_count": "3"},
        {"target_count": True},
        {"target_count": None},
        {"min_count": 0},
        {"min_count": 4},
        {"lock_ttl": 0},
        {"lock_ttl": 900.5},
        {"lock_ttl": "15m"},
        {"payment_grace": -1},
        {"team_ttl": 0},
        {"refund_window": -1},
        {"take_limit": 0},
        {"stock": -1},
        {"stock": 2_000_000_000},
        {"currency": "USD"},
        {"status": "open"},
        {"audience_scope": ["everything"]},
        {"name": ""},
        {"goods": []},
        {"goods": [GOODS, GOODS]},
        {"goods": [GOODS | {"source": ""}]},
        {"ends_at": "2026-01-01T00:00:00Z"},
        {"ends_at": "2025-01-01T00:00:00Z"},
        {"starts_at": "2026-01-01T00:00:00"},
        {"discount": {"plan": "cut", "expr": "twenty"}},
        {"discount": {"plan": "cut"}},
        {"campaign_id": 0},
        {"tagret_count": 3},
    ],
)
def test_invalid_fields(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewCampaign.model_validate(LEAST | fields)


@pytest.mark.parametrize("field", ["name", "starts_at", "ends_at", "goods", "discount", "target_count"])
def test_required_fields(field: str) -> None:
    with pytest.raises(ValidationError):
        NewCampaign.model_validate({name: value for name, value in LEAST.items() if name != field})


def test_a_change_keeps_the_other_fields() -> None:
    before = campaign(stock=5, min_count=2, audience="vip", audience_scope=["join"])

    after = before.changed({"status": "active", "stock": None})

    assert (after.status, after.stock) == (CampaignStatus.ACTIVE, None)
    kept = {"status", "stock"} ^ set(CampaignFields.model_fields)
    assert after.model_dump(include=kept) == before.model_dump(include=kept)
    assert after.audience_scope == (AudienceScope.JOIN,)
    assert (before.status, before.stock) == (CampaignStatus.DRAFT, 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"target_count": 1},
        {"min_count": 9},
        {"ends_at": "2025-01-01T00:00:00Z"},
        {"goods": []},
        {"discount": {"plan": "rate", "expr": "8"}},
        {"campaign_id": 5},
        {"version": 1},
        {"unknown": 1},
    ],
)
def test_an_invalid_change_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        campaign().changed(changes)


@pytest.mark.parametrize(("before", "after"), list(product(CampaignStatus, CampaignStatus)))
def test_ended_is_the_only_final_status_of_a_campaign(before: CampaignStatus, after: CampaignStatus) -> None:
    if before is not CampaignStatus.ENDED or after is before:
        require_transition(before, after)
        return
    with pytest.raises(Refusal) as refused:
        require_transition(before, after)
    assert refused.value.code is ErrorCode.CAMPAIGN_CONFLICT


NOW = datetime(2026, 5, 1, tzinfo=UTC)
ACTIVE: dict[str, Any] = {"status": "active"}
OVER: dict[str, Any] = {"ends_at": "2026-04-01T00:00:00Z"}
PRICES = {"9890001": Decimal("100.00"), "cheap": Decimal("0.05")}
CHEAP = {"goods": [GOODS | {"goods_id": "cheap"}]}


def cut(expr: str, plan: str = "cut") -> dict[str, Any]:
    return ACTIVE | {"discount": {"plan": plan, "expr": expr}}


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        (None, ACTIVE, []),
        (None, ACTIVE | OVER, ["ends_at"]),
        (None, OVER, []),  # a draft sells nothing
        (OVER, ACTIVE | OVER, ["ends_at"]),
        (ACTIVE, ACTIVE | OVER, ["ends_at"]),
        (ACTIVE | OVER, ACTIVE | OVER | {"name": "Other"}, []),  # accepted before
        (ACTIVE | OVER, ACTIVE | {"ends_at": "2026-03-01T00:00:00Z"}, ["ends_at"]),
        (ACTIVE, OVER | {"status": "ended"}, []),
        (None, cut("90"), []),
        (None, cut("90.01"), ["discount"]),
        (None, cut("90.01") | {"status": "draft"}, []),
        (cut("90.01") | {"status": "draft"}, cut("90.01"), ["discount"]),
        (cut("90.01") | {"status": "paused"}, cut("90.01"), []),  # accepted before
        (cut("90.01"), cut("90.01") | {"name": "Other"}, []),
        (cut("90.01"), cut("95"), ["discount"]),
        (None, cut("100"), ["discount"]),
        (None, cut("0.05", "rate"), ["discount"]),
        (None, cut("9.99", "fixed"), ["discount"]),
        (None, cut("100,95", "full_cut"), ["discount"]),
        (None, cut("0.04") | CHEAP, ["discount"]),  # 0.01
        (None, cut("20") | CHEAP, ["discount"]),
        (None, cut("0.01", "fixed") | CHEAP, []),
        (None, cut("0.03") | CHEAP, []),
        (None, cut("20") | {"goods": [GOODS, CHEAP["goods"][0], CHEAP["goods"][0] | {"channel": "c02"}]}, ["discount"]),
        (None, ACTIVE | {"audience": "vip"}, ["audience_scope"]),
        (None, ACTIVE | {"audience": "vip", "audience_scope": ["join"]}, []),
        (ACTIVE | {"audience": "vip"}, ACTIVE | {"audience": "vip", "name": "Other"}, []),
    ],
)
def test_a_change_that_may_lose_money_needs_a_confirmation(
    before: dict[str, Any] | None, after: dict[str, Any], fields: list[str]
) -> None:
    risks = campaign_risks(None if before is None else campaign(**before), campaign(**after), PRICES, NOW)

    assert [risk.field for risk in risks] == fields
    require_confirmation(risks, confirmed=True)
    if not risks:
        require_confirmation(risks, confirmed=False)
        return
    with pytest.raises(ConfirmationRequired) as refused:
        require_confirmation(risks, confirmed=False)
    assert refused.value.code is ErrorCode.CONFIRMATION_REQUIRED
    assert list(refused.value.risks) == list(risks)


def test_another_price_of_goods_that_campaigns_sell_names_what_each_would_sell_them_for() -> None:
    sold = {2: Discount(plan="cut", expr="20"), 1: Discount(plan="rate", expr="0.5")}

    assert price_risks("g", Decimal(100), Decimal(100), sold) == []
    assert price_risks("g", Decimal(100), Decimal(80), {}) == []
    assert [risk.message for risk in price_risks("g", Decimal(100), Decimal("21.00"), sold)] == [
        "Campaign 1 sells g for 50.00, and would for 10.50.",
        "Campaign 2 sells g for 80.00, and would for 1.00.",
        "Campaign 2: g costs 21.00, and would be sold for 1.00: 95.2 % less.",
    ]
