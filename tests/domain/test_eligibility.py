"""The rules for who may take a seat: their codes, their order, their borders."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.eligibility import COUNTS, RULES, TERMS, Facts, SeatIntent, is_visible, require_all, require_terms, rollout_bucket
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import CampaignStatus
from domain.schemas.campaigns import AudienceScope
from domain.switches import MallChannel, Switches, parse_switches

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FACTS = Facts(
    intent=SeatIntent.EITHER,
    now=NOW,
    source="s01",
    channel="c01",
    goods_id="9890001",
    user_id="user-1",
    switches=Switches(),
    campaign_id=100123,
    status=CampaignStatus.ACTIVE,
    starts_at=NOW - timedelta(days=1),
    ends_at=NOW + timedelta(days=1),
    audience=None,
    audience_scope=(),
    in_audience=False,
    take_limit=1,
    live_orders=0,
    stock_left=None,
)


def codes(facts: Facts) -> list[ErrorCode]:
    return [code for rule in RULES if (code := rule.check(facts))]


def test_an_open_campaign_sells_a_seat() -> None:
    assert codes(FACTS) == []
    require_all(replace(FACTS, intent=SeatIntent.OPEN))


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("group_buying_suspended", {"switches": Switches(suspended=True)}),
    ("user_outside_rollout", {"switches": Switches(rollout=0)}),
    ("mall_blocked", {"switches": Switches(blocked=(MallChannel(source="s01", channel="c01"),))}),
    ("campaign_inactive", {"status": CampaignStatus.ENDED}),
    ("campaign_not_found", {"sold_in_channel": False}),
    ("audience_restricted", {"audience": "a-1", "audience_scope": (AudienceScope.JOIN,)}),
    ("take_limit_reached", {"live_orders": 1}),
    ("stock_exhausted", {"stock_left": 0}),
]


@pytest.mark.parametrize(("position", "code", "changes"), [(position, *case) for position, case in enumerate(REFUSALS)])
def test_each_rule_has_its_code_and_its_position(position: int, code: str, changes: dict[str, Any]) -> None:
    facts = replace(FACTS, **changes)

    assert codes(facts) == [code]
    assert [rule.check(facts) is None for rule in RULES].index(False) == position
    with pytest.raises(Refusal) as refused:
        require_all(facts)
    assert refused.value.code == code
    assert "{" not in refused.value.detail


def test_reasons_are_listed_in_the_order_of_the_rules() -> None:
    everything = Switches(suspended=True, rollout=0, blocked=(MallChannel(source="s01", channel="c01"),))
    changes = {name: value for _, fields in REFUSALS for name, value in fields.items()}
    facts = replace(FACTS, **changes | {"switches": everything})

    assert codes(facts) == [code for code, _ in REFUSALS]
    with pytest.raises(Refusal) as refused:
        require_all(facts)
    assert refused.value.code is ErrorCode.GROUP_BUYING_SUSPENDED


def test_terms_ignore_the_counters() -> None:
    require_terms(replace(FACTS, live_orders=1, stock_left=0))
    assert RULES == TERMS + COUNTS


@pytest.mark.parametrize(
    ("status", "may_open", "may_join"),
    [
        ("draft", False, False),
        ("active", True, True),
        ("paused", False, False),
        ("draining", False, True),
        ("ended", False, False),
    ],
)
def test_each_campaign_status_allows_opening_joining_or_nothing(status: str, may_open: bool, may_join: bool) -> None:
    facts = replace(FACTS, status=CampaignStatus(status))

    for intent, may in ((SeatIntent.OPEN, may_open), (SeatIntent.JOIN, may_join), (SeatIntent.EITHER, may_join)):
        assert codes(replace(facts, intent=intent)) == ([] if may else [ErrorCode.CAMPAIGN_INACTIVE])


@pytest.mark.parametrize(
    ("moment", "open_then"),
    [
        (FACTS.starts_at - timedelta(microseconds=1), False),
        (FACTS.starts_at, True),
        (FACTS.ends_at - timedelta(microseconds=1), True),
        (FACTS.ends_at, False),
    ],
)
def test_a_campaign_is_open_from_its_start_up_to_its_end(moment: datetime, open_then: bool) -> None:
    for intent in (SeatIntent.OPEN, SeatIntent.EITHER):
        assert codes(replace(FACTS, intent=intent, now=moment)) == ([] if open_then else [ErrorCode.CAMPAIGN_NOT_OPEN])
    assert codes(replace(FACTS, intent=SeatIntent.JOIN, now=moment)) == []


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_a_rollout_admits_its_percentage_and_keeps_whom_it_admitted(percent: int) -> None:
    users = [f"user-{number}" for number in range(5000)]
    inside = [user for user in users if not codes(replace(FACTS, user_id=user, switches=Switches(rollout=percent)))]

    assert len(inside) / len(users) == pytest.approx(percent / 100, abs=0.02)
    assert all(not codes(replace(FACTS, user_id=user, switches=Switches(rollout=percent + 1))) for user in inside)


def test_a_rollout_of_0_admits_nobody_and_of_100_everybody() -> None:
    users = [f"user-{number}" for number in range(2000)]
    assert {rollout_bucket(user) for user in users} == set(range(100))
    assert all(codes(replace(FACTS, user_id=user, switches=Switches(rollout=0))) for user in users)
    assert not any(codes(replace(FACTS, user_id=user, switches=Switches(rollout=100))) for user in users)


def test_rollout_buckets_are_stable() -> None:
    assert [rollout_bucket(user) for user in ("user-1", "user-2", "张三")] == [41, 39, 35]


def test_a_block_covers_one_channel_of_one_mall() -> None:
    blocked = Switches(blocked=(MallChannel(source="s02", channel="c01"), MallChannel(source="s01", channel="c02")))
    assert codes(replace(FACTS, switches=blocked)) == []
    assert codes(replace(FACTS, switches=blocked, channel="c02")) == [ErrorCode.MALL_BLOCKED]


@pytest.mark.parametrize("member", [False, True])
@pytest.mark.parametrize(
    ("scope", "sees", "joins"),
    [((), True, True), (("join",), True, False), (("visible",), False, False), (("visible", "join"), False, False)],
)
def test_an_audience_restricts_outsiders_within_its_scope(
    scope: tuple[str, ...], sees: bool, joins: bool, member: bool
) -> None:
    facts = replace(FACTS, audience="a-1", audience_scope=tuple(AudienceScope(each) for each in scope), in_audience=member)

    assert is_visible(facts) is (sees or member)
    assert codes(facts) == ([] if joins or member else [ErrorCode.AUDIENCE_RESTRICTED])


def test_without_an_audience_a_scope_restricts_nobody() -> None:
    assert codes(replace(FACTS, audience_scope=(AudienceScope.VISIBLE, AudienceScope.JOIN))) == []


@pytest.mark.parametrize(("live", "limit", "reached"), [(0, 1, False), (1, 1, True), (2, 3, False), (3, 3, True), (3, 1, True)])
def test_the_take_limit_counts_live_orders(live: int, limit: int, reached: bool) -> None:
    assert codes(replace(FACTS, live_orders=live, take_limit=limit)) == [ErrorCode.TAKE_LIMIT_REACHED] * reached


@pytest.mark.parametrize(("left", "exhausted"), [(None, False), (1, False), (0, True), (-1, True)])
def test_the_stock_is_exhausted_at_none_left(left: int | None, exhausted: bool) -> None:
    assert codes(replace(FACTS, stock_left=left)) == [ErrorCode.STOCK_EXHAUSTED] * exhausted


def test_unset_switches_have_their_defaults_and_unknown_names_are_ignored() -> None:
    assert parse_switches(None) == Switches()
    assert parse_switches('{"rollout": 5, "of_a_later_version": [1]}') == Switches(rollout=5)
