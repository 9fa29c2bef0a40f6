"""The OpenAPI document: FastAPI's, extended by the errors of every operation and an example of every body."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.http.middleware import PAYLOAD_TOO_LARGE
from api.http.problems import problem_body
from api.openapi.declarations import CODES
from api.openapi.examples import example
from domain.errors import MEANINGS, ErrorCode

Json = dict[str, Any]

PROBLEM = "application/problem+json"
JSON = "application/json"
METHODS = {"get", "put", "post", "patch", "delete"}
URI_TOO_LONG = 414

CODES_BY_PATH_PARAMETER = {
    "out_trade_no": ErrorCode.ORDER_NOT_FOUND,
    "order_id": ErrorCode.ORDER_NOT_FOUND,
    "team_id": ErrorCode.TEAM_NOT_FOUND,
    "goods_id": ErrorCode.GOODS_NOT_FOUND,
    "campaign_id": ErrorCode.CAMPAIGN_NOT_FOUND,
    "audience_id": ErrorCode.AUDIENCE_NOT_FOUND,
    "event_id": ErrorCode.EVENT_NOT_FOUND,
    "redelivery_id": ErrorCode.REDELIVERY_NOT_FOUND,
    "export_id": ErrorCode.EXPORT_NOT_FOUND,
    "key_id": ErrorCode.KEY_NOT_FOUND,
    "source": ErrorCode.MALL_NOT_FOUND,
    "name": ErrorCode.SWITCH_NOT_FOUND,
}
COMMON_CODES = (
    ErrorCode.INVALID_REQUEST,
    ErrorCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN,
    ErrorCode.RATE_LIMITED,
    ErrorCode.TEMPORARILY_UNAVAILABLE,
    ErrorCode.INTERNAL_ERROR,
)
# The legacy format reports all other errors in its envelope.
LEGACY_CODES = (ErrorCode.FORBIDDEN,)
SERVICE_CODES = (ErrorCode.INVALID_REQUEST, ErrorCode.TEMPORARILY_UNAVAILABLE, ErrorCode.INTERNAL_ERROR)

LIMIT_HEADERS = {
    "RateLimit-Policy": {"description": "requests (`q`) allowed per `w` seconds", "schema": {"type": "string"}},
    "RateLimit": {"description": "requests left (`r`) in the next `t` seconds", "schema": {"type": "string"}},
}
ETAG = {"description": "send it as `If-None-Match`: while nothing has changed, the answer is 304", "schema": {"type": "string"}}

CODES_BY_TAG = {"service": SERVICE_CODES, "legacy": LEGACY_CODES}


def operation_id(route: APIRoute) -> str:
    return "_".join([*map(str, route.tags), route.name])


def extend_openapi(app: FastAPI) -> None:
    """Replaces `app.openapi()` by one that extends the document when it is first read."""
    generate = app.openapi

    def extended() -> Json:
        if app.openapi_schema is None:
            document = generate()
            for path, operation in _operations(document):
                _add_errors(path, operation)
                _add_rate_limit(operation)
            for path, item in document["paths"].items():
                if path.startswith("/v1/") and "get" in item:
                    _add_etag(item["get"])
            for item in document.get("webhooks", {}).values():
                del item["post"]["responses"]["422"]  # FastAPI adds it to every route, but a mall's answers are its own
            for unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(unused, None)
            _add_examples(document)
        return generate()

    app.openapi = extended  # type: ignore[method-assign]  # FastAPI's documented way


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, operation


def _add_errors(path: str, operation: Json) -> None:
    own = [ErrorCode(code) for code in operation.get(CODES, ())]
    named = [code for name, code in CODES_BY_PATH_PARAMETER.items() if f"{{{name}}}" in path]
    codes = {*own, *named, *CODES_BY_TAG.get(operation["tags"][0], COMMON_CODES)}
    responses = operation["responses"]
    for status_range in ("4XX", "5XX"):
        responses.pop(status_range, None)
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    for code in sorted(codes):
        by_status[MEANINGS[code].status].append(code)
    if "requestBody" in operation:
        by_status[PAYLOAD_TOO_LARGE].append(ErrorCode.INVALID_REQUEST)
        codes.add(ErrorCode.INVALID_REQUEST)
    if operation.get("parameters"):
        by_status[URI_TOO_LONG].append(ErrorCode.INVALID_REQUEST)
        codes.add(ErrorCode.INVALID_REQUEST)
    operation[CODES] = sorted(codes)
    for status, found in sorted(by_status.items()):
        responses[str(status)] = _error_response(status, found)


def _add_rate_limit(operation: Json) -> None:
    if "security" in operation:
        for status, response in operation["responses"].items():
            if status[0] == "2" or status == "429":
                response["headers"] = {**response.get("headers", {}), **LIMIT_HEADERS}


def _add_etag(operation: Json) -> None:
    operation["responses"]["200"]["headers"] = {**operation["responses"]["200"].get("headers", {}), "ETag": ETAG}
    operation["responses"]["304"] = {"description": "Not modified since the answer with this ETag", "headers": {"ETag": ETAG}}


def _error_response(status: int, codes: Iterable[ErrorCode]) -> Json:
    response: Json = {
        "description": "; ".join(f"`{code}`: {MEANINGS[code].title}" for code in codes),
        "content": {
            PROBLEM: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    code.value: {
                        "summary": MEANINGS[code].title,
                        "value": problem_body(code, MEANINGS[code].title + ".", status=status).model_dump(mode="json"),
                    }
                    for code in codes
                },
            }
        },
    }
    if status in {429, 503}:
        response["headers"] = {
            "Retry-After": {"description": "seconds", "required": True, "schema": {"type": "string"}},
        }
    return response


def _add_examples(document: Json) -> None:
    schemas = document["components"]["schemas"]
    bodies = [body for _, operation in _operations(document) for body in _bodies(operation)]
    bodies += [body for item in document.get("webhooks", {}).values() for body in _bodies(item["post"])]
    for body in bodies:
        if "example" not in body and "examples" not in body:
            body["example"] = example(body["schema"], schemas)


def _bodies(operation: Json) -> Iterator[Json]:
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        if JSON in part.get("content", {}):
            yield part["content"][JSON]
