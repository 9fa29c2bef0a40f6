"""What routes declare for the OpenAPI document beyond their types: their error codes, and that they may be repeated."""

from typing import Any

from pydantic import BaseModel

from api.http.responses import REPLAYED
from domain.errors import ErrorCode

Json = dict[str, Any]

CODES = "x-error-codes"

NOT_SOLD = (ErrorCode.GOODS_NOT_FOUND, ErrorCode.CAMPAIGN_NOT_FOUND)
SEAT_REFUSED = (
    ErrorCode.CAMPAIGN_INACTIVE,
    ErrorCode.CAMPAIGN_NOT_OPEN,
    ErrorCode.AUDIENCE_RESTRICTED,
    ErrorCode.USER_OUTSIDE_ROLLOUT,
    ErrorCode.MALL_BLOCKED,
    ErrorCode.TAKE_LIMIT_REACHED,
    ErrorCode.STOCK_EXHAUSTED,
    ErrorCode.GROUP_BUYING_SUSPENDED,
    ErrorCode.TEAM_NOT_FOUND,
    ErrorCode.ALREADY_IN_TEAM,
    ErrorCode.TEAM_FULL,
    ErrorCode.TEAM_CLOSED,
)


def refuses(*codes: ErrorCode) -> Json:
    """For a route's `openapi_extra`: the codes of its own rules, beside those of every call and of the names in its path."""
    return {CODES: list(codes)}


def repeats(model: type[BaseModel]) -> dict[int | str, Json]:
    """For a route's `responses`: a repeated request gets the first decision again, with its objects as they are now."""
    header = {"description": "true: this request was answered before", "schema": {"type": "string"}}
    return {200: {"model": model, "description": "The answer to a repeated request", "headers": {REPLAYED: header}}}
