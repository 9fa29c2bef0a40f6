"""Errors as answers: application/problem+json (RFC 9457) with a code."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from prometheus_client import Counter
from starlette.exceptions import HTTPException

from db.core.connection import INFRASTRUCTURE_FAILURES
from domain.errors import MEANINGS, ConfirmationRequired, ErrorCode, GroupBuyError
from domain.types import Schema, validation_message

log = logging.getLogger("groupbuy.api")

REFUSALS = Counter("groupbuy_refusals", "Requests that were answered with a problem, by its code", ["code"])
for _code in ErrorCode:
    # From 0 on: Prometheus sees no increase in a series that begins with 1, and a first defect would go unnoticed.
    REFUSALS.labels(_code)

RETRY_AFTER_SECONDS = 1
CODES_OF_STATUS = {404: ErrorCode.NOT_FOUND, 405: ErrorCode.METHOD_NOT_ALLOWED}


class FieldProblem(Schema):
    field: str
    message: str


class Problem(Schema):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    code: ErrorCode
    retryable: bool
    errors: tuple[FieldProblem, ...] = ()


class ProblemResponse(Response):
    media_type = "application/problem+json"


def problem_body(code: ErrorCode, detail: str, errors: Sequence[FieldProblem] = (), *, status: int | None = None) -> Problem:
    meaning = MEANINGS[code]
    return Problem(
        type=f"/problems/{code}",
        title=meaning.title,
        status=status or meaning.status,
        detail=detail,
        code=code,
        retryable=meaning.retryable,
        errors=tuple(errors),
    )


def problem(
    code: ErrorCode,
    detail: str,
    errors: Sequence[FieldProblem] = (),
    *,
    status: int | None = None,
    retry_after: int | None = None,
) -> ProblemResponse:
    REFUSALS.labels(code).inc()
    body = problem_body(code, detail, errors, status=status)
    headers = {"Retry-After": str(retry_after or RETRY_AFTER_SECONDS)} if body.status in {429, 503} else {}
    if code is ErrorCode.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return ProblemResponse(body.model_dump_json(), body.status, headers)


def _field_problems(errors: Sequence[Any]) -> list[FieldProblem]:
    # Without the input, which may be large and may hold secrets.
    return [
        FieldProblem(field=".".join(str(part)[:64] for part in error["loc"]), message=validation_message(error["msg"]))
        for error in errors[:20]
    ]


async def _group_buy_error(_request: Request, error: GroupBuyError) -> ProblemResponse:
    risks = error.risks if isinstance(error, ConfirmationRequired) else ()
    # At most 20, because a campaign may have a thousand goods.
    errors = [FieldProblem(field=risk.field, message=risk.message) for risk in risks[:20]]
    return problem(error.code, error.detail, errors, retry_after=error.retry_after)


async def _validation_error(_request: Request, error: RequestValidationError) -> ProblemResponse:
    errors = _field_problems(error.errors())
    return problem(ErrorCode.INVALID_REQUEST, f"{len(error.errors())} field(s) are not valid.", errors)


async def _http_error(request: Request, error: HTTPException) -> ProblemResponse:
    code = CODES_OF_STATUS.get(error.status_code)
    if code is None:
        # FastAPI's 400 for a body that is not JSON.
        return problem(ErrorCode.INVALID_REQUEST, str(error.detail))
    answer = problem(code, MEANINGS[code].title + ".")
    if code is ErrorCode.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = _allowed(request, error)
    return answer


def _allowed(request: Request, error: HTTPException) -> str:
    """The methods of this path: each is a route of its own, and the error names those of one route only."""
    path: str = getattr(request.scope.get("route"), "path", "")
    methods = {method.upper() for method in request.app.openapi()["paths"].get(path, ())}
    methods |= set((error.headers or {}).get("Allow", "").split(", ")) - {""}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


async def _database_unavailable(_request: Request, error: Exception) -> ProblemResponse:
    log.warning("the database did not serve a request: %s: %s", type(error).__name__, error)
    return problem(ErrorCode.TEMPORARILY_UNAVAILABLE, "The database is unavailable; repeat the same request.")


async def _internal_error(_request: Request, error: Exception) -> ProblemResponse:
    log.exception("unexpected error", exc_info=error)
    return problem(ErrorCode.INTERNAL_ERROR, "This is a defect of the platform; it has been logged.")


def add_exception_handlers(app: FastAPI) -> None:
    app.add_exception_handler(GroupBuyError, _group_buy_error)  # type: ignore[arg-type]  # Starlette types them as Exception
    app.add_exception_handler(RequestValidationError, _validation_error)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http_error)  # type: ignore[arg-type]
    for failure in INFRASTRUCTURE_FAILURES:
        app.add_exception_handler(failure, _database_unavailable)
    app.add_exception_handler(Exception, _internal_error)
