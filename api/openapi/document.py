"""The OpenAPI document: what FastAPI finds in the routes, and with it every error, an example of every body, the webhooks."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.http.middleware import PAYLOAD_TOO_LARGE
from api.http.problems import problem_body
from api.openapi.examples import example
from domain.errors import MEANINGS, ErrorCode

Json = dict[str, Any]

CODES = "x-error-codes"
REPLAYED = "Idempotent-Replayed"
PROBLEM = "application/problem+json"
JSON = "application/json"
METHODS = {"get", "put", "post", "patch", "delete"}

NAMED_IN_THE_PATH = {
    "out_trade_no": ErrorCode.ORDER_NOT_FOUND,
    "order_id": ErrorCode.ORDER_NOT_FOUND,
    "team_id": ErrorCode.TEAM_NOT_FOUND,
    "goods_id": ErrorCode.GOODS_NOT_FOUND,
    "campaign_id": ErrorCode.CAMPAIGN_NOT_FOUND,
    "audience_id": ErrorCode.AUDIENCE_NOT_FOUND,
    "event_id": ErrorCode.EVENT_NOT_FOUND,
    "key_id": ErrorCode.KEY_NOT_FOUND,
    "source": ErrorCode.MALL_NOT_FOUND,
    "name": ErrorCode.SWITCH_NOT_FOUND,
}
# Whatever is asked: the key may be unknown or not allowed, the mall over its limit, a part away, or we wrong.
OF_EVERY_CALL = (
    ErrorCode.INVALID_REQUEST,
    ErrorCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN,
    ErrorCode.RATE_LIMITED,
    ErrorCode.TEMPORARILY_UNAVAILABLE,
    ErrorCode.INTERNAL_ERROR,
)
# Everything else is in the original's envelope.
OF_THE_ORIGINAL = (ErrorCode.FORBIDDEN,)
OF_A_SERVICE_PAGE = (ErrorCode.INVALID_REQUEST, ErrorCode.TEMPORARILY_UNAVAILABLE, ErrorCode.INTERNAL_ERROR)

LIMIT_HEADERS = {
    "RateLimit-Policy": {"description": "requests (`q`) that the mall may send in `w` seconds", "schema": {"type": "string"}},
    "RateLimit": {"description": "how many are left (`r`) in the next `t` seconds", "schema": {"type": "string"}},
}
TAG = {"description": "send it as `If-None-Match` to be spared what is still as it was", "schema": {"type": "string"}}

BY_TAG = {"service": OF_A_SERVICE_PAGE, "original": OF_THE_ORIGINAL}


def refuses(*codes: ErrorCode) -> Json:
    """For a route's `openapi_extra`: the codes of its own rules, beside those of every call and of the names in its path."""
    return {CODES: list(codes)}


def repeats(model: type[BaseModel]) -> dict[int | str, Json]:
    """For a route's `responses`: a repeated request gets the same decision again, as it is now."""
    header = {"description": "true: the request was repeated, and this is as it is now", "schema": {"type": "string"}}
    return {200: {"model": model, "description": "It was asked before", "headers": {REPLAYED: header}}}


def operation_id(route: APIRoute) -> str:
    return "_".join([*map(str, route.tags), route.name])


def describe(app: FastAPI) -> None:
    """From now on `app.openapi()` says it all; made once, when it is first asked for."""
    as_found = app.openapi

    def whole() -> Json:
        if app.openapi_schema is None:
            document = as_found()
            for path, operation in _operations(document):
                _tell_errors(path, operation)
                _tell_limit(operation)
            for path, item in document["paths"].items():
                if path.startswith("/v1/") and "get" in item:
                    _tell_tag(item["get"])
            for item in document["webhooks"].values():
                del item["post"]["responses"]["422"]  # FastAPI's own; what a mall answers is in the description
            for unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(unused, None)
            _show_examples(document)
        return as_found()

    app.openapi = whole  # type: ignore[method-assign]  # FastAPI's documented way


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, operation


def _tell_errors(path: str, operation: Json) -> None:
    own = [ErrorCode(code) for code in operation.get(CODES, ())]
    named = [code for name, code in NAMED_IN_THE_PATH.items() if f"{{{name}}}" in path]
    codes = {*own, *named, *BY_TAG.get(operation["tags"][0], OF_EVERY_CALL)}
    responses = operation["responses"]
    for undivided in ("4XX", "5XX"):
        responses.pop(undivided, None)
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    for code in sorted(codes):
        by_status[MEANINGS[code].status].append(code)
    if "requestBody" in operation:
        by_status[PAYLOAD_TOO_LARGE].append(ErrorCode.INVALID_REQUEST)
        codes.add(ErrorCode.INVALID_REQUEST)
    operation[CODES] = sorted(codes)
    for status, found in sorted(by_status.items()):
        responses[str(status)] = _error_response(status, found)


def _tell_limit(operation: Json) -> None:
    if operation["tags"][0] == "mall":
        for status, response in operation["responses"].items():
            if status[0] == "2" or status == "429":
                response["headers"] = {**response.get("headers", {}), **LIMIT_HEADERS}


def _tell_tag(operation: Json) -> None:
    """Every read has its tag (api/middleware.py)."""
    operation["responses"]["200"]["headers"] = {**operation["responses"]["200"].get("headers", {}), "ETag": TAG}
    operation["responses"]["304"] = {"description": "It is as the tag in `If-None-Match` says", "headers": {"ETag": TAG}}


def _error_response(status: int, codes: Iterable[ErrorCode]) -> Json:
    response: Json = {
        "description": "; ".join(f"`{code}`: {MEANINGS[code].title}" for code in codes),
        "content": {
            PROBLEM: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    code.value: {
                        "summary": MEANINGS[code].title,
                        "value": problem_body(code, MEANINGS[code].title + ".", status=status),
                    }
                    for code in codes
                },
            }
        },
    }
    if status in {429, 503}:
        response["headers"] = {
            "Retry-After": {"description": "seconds to wait", "required": True, "schema": {"type": "string"}},
        }
    return response


def _show_examples(document: Json) -> None:
    schemas = document["components"]["schemas"]
    bodies = [body for _, operation in _operations(document) for body in _bodies(operation)]
    bodies += [body for item in document.get("webhooks", {}).values() for body in _bodies(item["post"])]
    for body in bodies:
        if "example" not in body and "examples" not in body:
            body["example"] = example(body["schema"], schemas)


def _bodies(operation: Json) -> Iterator[Json]:
    for place in (operation.get("requestBody", {}), *operation["responses"].values()):
        if JSON in place.get("content", {}):
            yield place["content"][JSON]
