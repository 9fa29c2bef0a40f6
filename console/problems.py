"""Errors as pages: the code, what it means, what to do, and what is wrong in this case."""

import logging
from typing import NamedTuple
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.http.middleware import READS_ONLY
from api.http.problems import CODES_OF_STATUS
from console.access import SignInRequiredError
from console.cookies import BASE
from console.rendering import go_to, is_partial, render
from db.core.connection import INFRASTRUCTURE_FAILURES
from domain.errors import MEANINGS, ConfirmationRequired, ErrorCode, GroupBuyError
from domain.types import validation_message

log = logging.getLogger("groupbuy.console")


class FieldProblem(NamedTuple):
    field: str
    message: str
    code: ErrorCode = ErrorCode.INVALID_REQUEST


def problem(request: Request, code: ErrorCode, detail: str, errors: list[FieldProblem] | None = None) -> Response:
    meaning = MEANINGS[code]
    return render(
        request,
        "problem.html",
        meaning.status,
        code=code,
        meaning=meaning,
        detail=detail,
        errors=errors or [],
        toast=None,
        part_id=request.headers.get("hx-target", ""),
    )


async def _sign_in(request: Request, _error: SignInRequiredError) -> Response:
    """After signing in, a page that was asked for is shown; a form that was sent is not sent again."""
    request.scope[READS_ONLY] = True  # who has no session must not be able to empty the cache
    is_page = request.method == "GET" and not is_partial(request)
    after = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return go_to(request, f"/sign-in?{urlencode({'after': after})}" if is_page and after != f"{BASE}/" else "/sign-in")


async def _group_buy_error(request: Request, error: GroupBuyError) -> Response:
    risks = error.risks if isinstance(error, ConfirmationRequired) else ()
    return problem(request, error.code, error.detail, [FieldProblem(risk.field, risk.message) for risk in risks[:20]])


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    errors = [
        FieldProblem(".".join(map(str, each["loc"][1:])) or str(each["loc"][-1]), validation_message(each["msg"]))
        for each in error.errors()[:20]
    ]
    return problem(request, ErrorCode.INVALID_REQUEST, "", errors)


async def _http_error(request: Request, error: HTTPException) -> Response:
    code = CODES_OF_STATUS.get(error.status_code, ErrorCode.INVALID_REQUEST)
    return problem(request, code, "")


async def _database_unavailable(request: Request, error: Exception) -> Response:
    log.warning("the database did not serve a page: %s: %s", type(error).__name__, error)
    return problem(request, ErrorCode.TEMPORARILY_UNAVAILABLE, "The database is unavailable.")


async def _internal_error(request: Request, error: Exception) -> Response:
    log.exception("unexpected error", exc_info=error)
    return problem(request, ErrorCode.INTERNAL_ERROR, "")


def add_exception_handlers(app: FastAPI) -> None:
    app.add_exception_handler(SignInRequiredError, _sign_in)  # type: ignore[arg-type]  # Starlette types them as Exception
    app.add_exception_handler(GroupBuyError, _group_buy_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _validation_error)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http_error)  # type: ignore[arg-type]
    for failure in INFRASTRUCTURE_FAILURES:
        app.add_exception_handler(failure, _database_unavailable)
    app.add_exception_handler(Exception, _internal_error)
