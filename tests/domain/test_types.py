"""What is accepted as money, moment, identifier and name."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.types import (
    CENT,
    MAX_AMOUNT,
    CampaignId,
    Identifier,
    Moment,
    Money,
    Name,
    Note,
    Price,
    Source,
    TeamId,
    mask_user_id,
    validation_message,
)

money = TypeAdapter[Decimal](Money)
price = TypeAdapter[Decimal](Price)
moment = TypeAdapter[datetime](Moment)
identifier = TypeAdapter[str](Identifier)
name = TypeAdapter[str](Name)
note = TypeAdapter[str](Note)


@given(st.decimals(min_value=0, max_value=MAX_AMOUNT, places=2))
def test_money_round_trips_as_text(amount: Decimal) -> None:
    text = f"{amount:f}"

    assert money.validate_python(text) == money.validate_json(json.dumps(text)) == amount
    assert money.validate_python(amount) == amount
    assert json.loads(money.dump_json(money.validate_python(text))) == f"{amount:.2f}"


@pytest.mark.parametrize(("text", "amount"), [("80", "80.00"), ("80.0", "80.00"), ("0", "0.00"), ("0.01", "0.01")])
def test_money_has_two_places(text: str, amount: str) -> None:
    assert money.dump_python(money.validate_python(text)) == amount


@pytest.mark.parametrize(
    "value",
    [
        *(80, 80.0, True, None, [], {}, b"80.00", "", " ", "abc", "80,00", "80.001", "-0.01", "0x50"),
        *("NaN", "Infinity", "-Infinity", "10000000000.00", "9" * 5000),
    ],
)
def test_invalid_amounts_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        money.validate_python(value)


@pytest.mark.parametrize("text", ["1e2", "1_000", "８０.00", " 80.00 ", "80\n", "+80", "-0", "-0.00"])
def test_money_is_strict_decimal_text(text: str) -> None:
    with pytest.raises(ValidationError):
        money.validate_python(text)


def test_a_price_is_above_zero() -> None:
    assert price.validate_python("0.01") == CENT
    with pytest.raises(ValidationError):
        price.validate_python("0.00")


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=zones))  # noqa: DTZ001 - the zone is drawn beside
def test_a_moment_is_kept_exactly_and_shown_in_utc(aware: datetime) -> None:
    parsed = moment.validate_python(aware.isoformat())

    assert parsed == aware
    assert parsed.tzinfo is UTC
    text = json.loads(moment.dump_json(parsed))
    assert text.endswith("Z")
    assert moment.validate_python(text) == aware


@pytest.mark.parametrize(
    "value", ["2026-01-31T12:00:00", "2026-01-31", "yesterday", "", "2026-02-30T00:00:00Z", 1_769_860_800, 1.5, True, None]
)
def test_a_moment_without_zone_or_as_a_number_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        moment.validate_python(value)


@pytest.mark.parametrize("text", ["1769860800", "1769860800.5", "-1"])
def test_a_quoted_number_is_no_moment(text: str) -> None:
    with pytest.raises(ValidationError):
        moment.validate_python(text)


@pytest.mark.parametrize(
    "text",
    [
        *("9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00"),
        # What asyncpg stores as infinities.
        *("9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "0001-01-01T05:00:00+05:00"),
    ],
)
def test_a_moment_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        moment.validate_python(text)


@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}\Z"))
def test_an_identifier_is_up_to_64_plain_characters(text: str) -> None:
    assert identifier.validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["", " ", "-a", ".a", "a b", "a\n", "a/b", "a\x00", "a\x1fb", "é", "１", "'; --", "a" * 65, 5, None]
)
@pytest.mark.parametrize("kind", [Identifier, Source, TeamId])
def test_an_invalid_identifier_is_refused(kind: type[str], text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


def test_a_source_has_up_to_16_characters() -> None:
    source = TypeAdapter[str](Source)
    assert source.validate_python("s" * 16)
    with pytest.raises(ValidationError):
        source.validate_python("s" * 17)


@pytest.mark.parametrize("text", ["", "a\x00", "a\tb", "a\nb", "\x7f", "a" * 129, "\ud800"])
def test_a_name_has_no_control_characters(text: str) -> None:
    with pytest.raises(ValidationError):
        name.validate_python(text)


def test_names_and_notes_may_be_in_any_script() -> None:
    assert name.validate_python("手写 MyBatis × 🎉") == "手写 MyBatis × 🎉"
    assert note.validate_python("第一行\n第二行") == "第一行\n第二行"
    with pytest.raises(ValidationError):
        note.validate_python("\x00")


@pytest.mark.parametrize("value", [0, -1, 2_147_483_648, "100123", 1.0, True])
def test_a_campaign_id_is_a_positive_integer_that_the_database_holds(value: object) -> None:
    campaign_id = TypeAdapter[int](CampaignId)
    assert campaign_id.validate_python(100123) == 100123
    with pytest.raises(ValidationError):
        campaign_id.validate_python(value)


@given(st.text("ab1.", min_size=1, max_size=5))
def test_a_masked_user_id_hides_a_part(user_id: str) -> None:
    shown = mask_user_id(user_id).replace("*", "")
    assert len(shown) < len(user_id)
    assert user_id.startswith(shown[:1])


def test_a_validation_message_has_no_prefix() -> None:
    with pytest.raises(ValidationError) as refused:
        money.validate_python(80)
    assert [validation_message(error["msg"]) for error in refused.value.errors()] == [
        'money is a decimal string, for example "80.00"'
    ]
    assert validation_message("Input should be a valid string") == "Input should be a valid string"
