"""What the routes need: connections and settings, made once per process."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase

from api.container import Container
from api.http.middleware import EXTRA_HEADERS
from api.http.query_params import require_known_params
from api.runtime.api_keys import KeyOwner
from db.settings.keys import MallAccess, OpsAccess
from domain.errors import ErrorCode, Refusal
from domain.scopes import Scope


async def container(request: Request) -> Container:  # async: FastAPI would run it in a thread
    found: Container = request.app.state.container
    return found


ContainerDep = Annotated[Container, Depends(container)]


class _Key(SecurityBase):
    """Who asks, by the key that the request carries. One dependency does it all, and declares itself in OpenAPI.

    It looks at the query, too: that is cheaper than a dependency of its own.
    """

    model = HTTPBearerModel(description="A key of a mall or, for /v1/ops, of operations.")
    scheme_name = "key"

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def _access(self, request: Request) -> KeyOwner:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        found = await request.app.state.container.keys.access(key.strip()) if scheme.lower() == "bearer" and key else None
        if found is None:
            raise Refusal(ErrorCode.UNAUTHORIZED, "Send a key that is known: Authorization: Bearer <key>.")
        access: KeyOwner = found
        return access


class _MallKey(_Key):
    """A mall's key with the scope; what is no GET needs trade as a rule."""

    async def __call__(self, request: Request) -> MallAccess:
        access = await self._access(request)
        if not isinstance(access, MallAccess):
            raise Refusal(ErrorCode.FORBIDDEN, "This is for the key of a mall.")
        taken = request.app.state.container.rates.take(access.source, access.request_limit)
        request.scope[EXTRA_HEADERS] = taken.headers
        if not taken.allowed:
            detail = f"{access.source} may send {access.request_limit} requests a second."
            raise Refusal(ErrorCode.RATE_LIMITED, detail, retry_after=1)
        _require(access, Scope.READ if request.method == "GET" else self._scope)
        require_known_params(request)
        return access


class _OpsKey(_Key):
    """A key of operations with the scope."""

    async def __call__(self, request: Request) -> OpsAccess:
        access = await self._access(request)
        if not isinstance(access, OpsAccess):
            raise Refusal(ErrorCode.FORBIDDEN, f"This is for a key of operations with the scope {self._scope}.")
        _require(access, self._scope)
        require_known_params(request)
        return access


def _require(access: KeyOwner, scope: Scope) -> None:
    if scope not in access.scopes:
        raise Refusal(ErrorCode.FORBIDDEN, f"This needs a key with the scope {scope}.")


MallDep = Annotated[MallAccess, Depends(_MallKey(Scope.TRADE))]
"""May read with GET, and trade with what is no GET."""
ReadingMallDep = Annotated[MallAccess, Depends(_MallKey(Scope.READ))]
"""May read, whatever the method."""
OpsDep = Annotated[OpsAccess, Depends(_OpsKey(Scope.OPS))]
AdminDep = Annotated[OpsAccess, Depends(_OpsKey(Scope.ADMIN))]
