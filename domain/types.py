"""Validated types of every input: identifiers, money, moments, texts. Code behind them relies on their limits."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

CENT = Decimal("0.01")
MAX_AMOUNT = Decimal("9999999999.99")
MAX_TOTAL = Decimal("9999999999999999.99")


class Schema(BaseModel):
    """Base of the public JSON: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def validation_message(message: str) -> str:
    """Returns a validation error's message without the prefix that pydantic puts before messages of our own."""
    return message.removeprefix("Value error, ")


_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")


def decimal_of(text: str) -> Decimal:
    """Returns the number of plain ASCII digits: no sign, exponent, underscore, space or digits of another script.

    Raises:
        ValueError: the text is anything else.
    """
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no plain decimal number")
    return Decimal(text)


def _decimal_text(value: object) -> object:
    # A JSON number may have been a binary float on its way, so money is accepted as text or as a Decimal only.
    if isinstance(value, str):
        return decimal_of(value)
    if isinstance(value, Decimal):
        return value
    raise ValueError('money is a decimal string, for example "80.00"')


def _plain(value: Decimal) -> Decimal:
    return value.quantize(CENT)


def money_text(value: Decimal) -> str:
    return f"{value:.2f}"


BoundedT = TypeVar("BoundedT")
_TO_THE_CENT = AfterValidator(_plain)
_WRITTEN = PlainSerializer(money_text, return_type=str, when_used="always")
# Of a type that has its bounds already: behind a function pydantic would check them in Python, one by one.
_InCents = Annotated[
    BoundedT,
    BeforeValidator(_decimal_text, json_schema_input_type=str),
    _TO_THE_CENT,
    _WRITTEN,
    Field(examples=["80.00"]),
]

TotalMoney = _InCents[Annotated[Decimal, Field(ge=0, le=MAX_TOTAL, decimal_places=2, allow_inf_nan=False)]]
"""A sum of amounts, exact to 0.01."""

Money = _InCents[Annotated[Decimal, Field(ge=0, le=MAX_AMOUNT, decimal_places=2, allow_inf_nan=False)]]
"""An amount in the campaign's currency, exact to 0.01."""

Price = Annotated[Money, Field(gt=0)]

Balance = Annotated[Decimal, _TO_THE_CENT, _WRITTEN, Field(examples=["-4.00"])]
"""A sum that may be negative; only in answers."""


# asyncpg stores these two as infinities, and reads infinities back without a time zone.
_BEFORE_ALL, _AFTER_ALL = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_OUT_OF_RANGE = "this moment is out of range"


def utc(value: datetime) -> datetime:
    """Returns the same moment in UTC.

    Raises:
        ValueError: it is out of the range that the database can hold.
    """
    try:
        moment = value if value.tzinfo is UTC else value.astimezone(UTC)
    except OverflowError:
        raise ValueError(_OUT_OF_RANGE) from None
    if not _BEFORE_ALL < moment < _AFTER_ALL:
        raise ValueError(_OUT_OF_RANGE)
    return moment


def rfc3339(value: datetime) -> str:
    return utc(value).isoformat().replace("+00:00", "Z")


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _moment_text(value: object) -> object:
    # pydantic would also accept numbers, quoted or not, as seconds or milliseconds since 1970.
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise ValueError('a moment is RFC 3339 text, for example "2026-01-31T12:00:00Z"')


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment_text, json_schema_input_type=str),
    AfterValidator(utc),  # which pydantic writes as RFC 3339 with a Z
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware point in time, in UTC."""

_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$"

Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=_IDENTIFIER)]
"""A mall's own id of a buyer, of goods, of a channel or of an order: up to 64 letters, digits and `. _ : @ -`."""

Source = Annotated[str, Field(min_length=1, max_length=16, pattern=_IDENTIFIER)]
TeamId = Annotated[str, Field(min_length=1, max_length=64, pattern=_IDENTIFIER)]
MAX_CAMPAIGN_ID = 2_147_483_647
CampaignId = Annotated[int, Field(strict=True, ge=1, le=MAX_CAMPAIGN_ID)]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]


def mask_user_id(user_id: str) -> str:
    """Returns what other buyers see of a user id: `u***1`. An id of up to two characters is hidden completely."""
    return f"{user_id[0]}***{user_id[-1]}" if len(user_id) > 2 else "***"
