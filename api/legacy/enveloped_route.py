"""What every route of the legacy format does: it checks who calls, and puts answers and errors into the envelope."""

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.container import Container
from api.legacy.access import AccessRules, Caller, identify_caller, require_no_hidden_page
from api.legacy.wire import Code, code_of, envelope
from db.core.connection import INFRASTRUCTURE_FAILURES
from db.legacy import LegacyMall, read_legacy_malls
from domain.errors import ErrorCode, GroupBuyError, Refusal
from domain.networks import is_in

log = logging.getLogger("groupbuy.api")

PREFIX = "/api/v1/gbm"
FOR_PAGES = "/index/query_group_buy_market_config"
"""the one call that web pages may make"""
DCC = "/dcc/update_config"
BY = "original"
"""takes the place of a key's name where the legacy format trades for a mall"""


class Answer(NamedTuple):
    code: Code
    info: str
    data: object = None


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class EnvelopedRoute(APIRoute):
    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def enveloped(request: Request) -> Response:
            caller: Caller | None = None
            try:
                request.state.caller = caller = await _admit(request)
                answer = await handle(request)
            except Exception as exc:
                if isinstance(exc, GroupBuyError) and exc.code is ErrorCode.FORBIDDEN:
                    raise  # a problem with status 403
                answer = response(_failure(exc))
            if caller is not None and caller.origin is not None:
                answer.headers.update({"Access-Control-Allow-Origin": caller.origin, "Vary": "Origin"})
            return answer

        return enveloped


async def _admit(request: Request) -> Caller:
    """Returns who calls.

    Raises:
        Refusal: forbidden: nobody who may.
    """
    container: Container = request.app.state.container
    rules: AccessRules = request.app.state.access_rules
    path = request.scope["path"].removeprefix(PREFIX)
    peer = request.client.host if request.client else None
    caller = identify_caller(peer, request.headers, rules, is_for_pages=path == FOR_PAGES)
    if caller.origin is not None:
        # The browsers of buyers are anywhere.
        return caller
    if path == DCC:
        require_no_hidden_page(request.headers)
        is_allowed, setting = is_in(caller.address, container.settings.legacy_dcc_networks), "GROUPBUY_LEGACY_DCC_NETWORKS"
    else:
        malls = (await legacy_malls(container)).values()
        is_allowed, setting = any(is_in(caller.address, mall.networks) for mall in malls), "legacy_networks of a mall"
    if not is_allowed:
        raise Refusal(ErrorCode.FORBIDDEN, f"{caller.address} is in no network that may call this ({setting}).")
    return caller


async def legacy_malls(container: Container) -> Mapping[str, LegacyMall]:
    """Returns the malls that use the legacy format, by source."""
    return await container.cache.get(BY, lambda: read_legacy_malls(container.database, BY), lambda _: ["mall"])


def _failure(exc: Exception) -> Answer:
    match exc:
        case RequestValidationError():
            return Answer(Code.ILLEGAL_PARAMETER, invalid_fields(exc.errors()))
        case HTTPException():  # a body that cannot be decoded
            return Answer(Code.ILLEGAL_PARAMETER, invalid_fields([]))
        case GroupBuyError():
            return Answer(code_of(exc.code), exc.detail)
    if isinstance(exc, INFRASTRUCTURE_FAILURES):
        log.warning("the database did not serve a request: %s: %s", type(exc).__name__, exc)
        return Answer(Code.UNKNOWN_FAILURE, "The database is unavailable; repeat the same request.")
    log.error("unexpected error", exc_info=exc)
    return Answer(Code.UNKNOWN_FAILURE, "This is a defect of the platform; it has been logged.")


def invalid_fields(errors: Sequence[Any]) -> str:
    """Names the fields of a request that are missing or malformed."""
    # Without the input, which may be large and may hold secrets.
    fields = [".".join(map(str, error["loc"]))[:64] for error in errors[:20]]
    return f"Missing or malformed: {', '.join(fields) or 'body'}."


def response(answer: Answer) -> Response:
    return Response(envelope(*answer), media_type="application/json")
