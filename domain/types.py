"""The types that travel: identifiers, money, moments. Their limits are what keeps odd input out of everything behind."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

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


class Message(BaseModel):
    """Base of what crosses a border: frozen, and strict about fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def reason(message: str) -> str:
    """Why a value is none, as we or pydantic said it: without the mark that pydantic sets before our own words."""
    return message.removeprefix("Value error, ")


_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")


def decimal_of(text: str) -> Decimal:
    """The number that plain digits stand for: no sign, exponent, underscore, space or other alphabet's digits.

    Raises:
        ValueError: it is anything else.
    """
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no plain decimal number")
    return Decimal(text)


def _decimal_text(value: object) -> object:
    # A JSON number has been a binary float somewhere on its way; money comes as text or as our own Decimal.
    if isinstance(value, str):
        return decimal_of(value)
    if isinstance(value, Decimal):
        return value
    raise ValueError('money is a decimal string, for example "80.00"')


def _plain(value: Decimal) -> Decimal:
    return value.quantize(CENT)


def money_text(value: Decimal) -> str:
    return f"{value:.2f}"


Money = Annotated[
    Decimal,
    BeforeValidator(_decimal_text, json_schema_input_type=str),
    Field(ge=0, le=MAX_AMOUNT, decimal_places=2, allow_inf_nan=False, examples=["80.00"]),
    AfterValidator(_plain),
    PlainSerializer(money_text, return_type=str, when_used="always"),
]
"""An amount in the campaign's currency, exact to 0.01."""

Price = Annotated[Money, Field(gt=0)]


# The driver takes these two for infinities, and what it reads of those has no zone.
_BEFORE_ALL, _AFTER_ALL = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def utc(value: datetime) -> datetime:
    """The same moment in UTC.

    Raises:
        ValueError: no row can hold it.
    """
    with suppress(OverflowError):
        moment = value if value.tzinfo is UTC else value.astimezone(UTC)
        if _BEFORE_ALL < moment < _AFTER_ALL:
            return moment
    raise ValueError("this moment has no place in the calendar")


def rfc3339(value: datetime) -> str:
    return utc(value).isoformat().replace("+00:00", "Z")


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _moment_text(value: object) -> object:
    # pydantic would also read numbers, in quotes or not, as seconds or milliseconds since 1970.
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise ValueError('a moment is RFC 3339 text, for example "2026-01-31T12:00:00Z"')


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment_text, json_schema_input_type=str),
    AfterValidator(utc),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware point in time, in UTC."""

_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$"

Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=_IDENTIFIER)]
"""What a mall calls its buyers, goods, channels and trades: up to 64 letters, digits and `. _ : @ -`."""

Source = Annotated[str, Field(min_length=1, max_length=16, pattern=_IDENTIFIER)]
TeamId = Annotated[str, Field(min_length=1, max_length=64, pattern=_IDENTIFIER)]
MAX_CAMPAIGN_ID = 2_147_483_647
CampaignId = Annotated[int, Field(strict=True, ge=1, le=MAX_CAMPAIGN_ID)]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]


def masked(user_id: str) -> str:
    """What one buyer sees of another: `u***1`. Of an id that has no more than these two letters, nothing."""
    return f"{user_id[0]}***{user_id[-1]}" if len(user_id) > 2 else "***"
