"""Forms: a model's values survive the way into texts and back."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from console.forms import FormError, ReasonedAct, default_texts, form_fields, from_texts, new_act_id, to_texts, validated
from console.problems import FieldProblem
from domain.pricing import Discount, DiscountPlan
from domain.schemas.audiences import AudienceRule
from domain.schemas.campaigns import AudienceScope, CampaignFields, CampaignGoods, NewCampaign
from domain.schemas.keys import NewKey
from domain.schemas.malls import MallFields
from domain.schemas.redeliveries import RedeliveryRange

CAMPAIGN = CampaignFields(
    name="中秋 <b>",
    starts_at=datetime(2026, 3, 1, tzinfo=UTC),
    ends_at=datetime(2026, 3, 2, 12, 30, 5, tzinfo=UTC),
    goods=[CampaignGoods(source="s01", channel="c01", goods_id=goods_id) for goods_id in ("1", "2")],
    discount=Discount(plan=DiscountPlan.FULL_CUT, expr="100,20", audience="vip"),
    target_count=3,
    stock=100,
    audience="vip",
    audience_scope=(AudienceScope.VISIBLE, AudienceScope.JOIN),
)


def test_a_campaign_survives_its_form() -> None:
    assert CampaignFields.model_validate(from_texts(CampaignFields, to_texts(CAMPAIGN))) == CAMPAIGN


def test_a_new_campaign_begins_with_the_defaults() -> None:
    texts = default_texts(NewCampaign)
    assert (texts["status"], texts["lock_ttl"], texts["stock"], texts["audience_scope"]) == ("draft", "900", "", "")
    required = {"name": "x", "starts_at": "2026-03-01T00:00", "ends_at": "2026-03-02T00:00:01", "target_count": "2"}
    more = {"goods": "s01 c01 1", "discount.plan": "cut", "discount.expr": "20"}
    new = NewCampaign.model_validate(from_texts(NewCampaign, texts | required | more))
    assert (new.campaign_id, new.min_count, new.take_limit, new.discount.audience) == (None, None, 1, None)
    assert new.ends_at == datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC)


def test_the_kind_of_a_field_follows_from_its_type() -> None:
    kinds = {field.name: field.kind for model in (NewCampaign, NewKey, MallFields) for field in form_fields(model, {})}
    expected = {
        "campaign_id": "number",
        "name": "text",
        "status": "choice",
        "starts_at": "moment",
        "goods": "lines",
        "discount.plan": "choice",
        "lock_ttl": "seconds",
        "audience_scope": "choices",
        "scopes": "choices",
        "callback_hosts": "lines",
        "local": "flag",
        "request_limit": "number",
        "legacy_networks": "lines",
    }
    assert {name: kinds[name] for name in expected} == expected
    statuses = next(field for field in form_fields(RedeliveryRange, {}) if field.name == "status")
    assert statuses.choices == ("dead", "delivered", "pending", "all")


@pytest.mark.parametrize("text", ["", "x", "1.5", "１", "-"])
def test_a_number_that_is_none_is_the_models_to_refuse(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CampaignFields.model_validate(from_texts(CampaignFields, to_texts(CAMPAIGN) | {"target_count": text}))
    assert [error["loc"] for error in caught.value.errors()] == [("target_count",)]


def test_a_line_with_too_few_words_is_refused_at_its_field() -> None:
    texts = to_texts(CAMPAIGN) | {"goods": "s01 c01 1\ns01 c01"}
    with pytest.raises(ValidationError) as caught:
        CampaignFields.model_validate(from_texts(CampaignFields, texts))
    error = FieldProblem(".".join(map(str, caught.value.errors()[0]["loc"])), "missing")
    assert next(field.error for field in form_fields(CampaignFields, texts, [error]) if field.name == "goods") == "missing"


def test_a_rule_of_the_whole_model_is_told() -> None:
    texts = {"since": "2026-03-02T00:00", "until": "2026-03-01T00:00", "min_orders": "1"}
    with pytest.raises(ValidationError, match="since must be before until"):
        AudienceRule.model_validate(from_texts(AudienceRule, texts))


def test_an_act_needs_a_reason_and_an_id_of_ours() -> None:
    form = {"reason": "the buyer asked", "act_id": new_act_id(), "seen": "", "form_token": "is another's to check"}
    assert validated(ReasonedAct, form).reason == "the buyer asked"
    for wrong, field in (({"reason": ""}, "reason"), ({"act_id": "x"}, "act_id")):
        with pytest.raises(FormError) as caught:
            validated(ReasonedAct, form | wrong)
        assert [error.field for error in caught.value.errors] == [field]
