"""Dependencies of routes: the container, and the owner of the API key with its scope."""

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase

from api.container import Container
from api.http.access_log import KEY_ID, REQUEST_ID, peer
from api.http.addresses import client_address
from api.http.middleware import EXTRA_HEADERS
from api.http.query_params import require_known_params
from api.runtime.api_keys import KeyOwner
from db.settings.keys import MallAccess, OpsAccess
from domain.errors import ErrorCode, Refusal
from domain.messages.acts import Author
from domain.schemas.audit import Via
from domain.scopes import Scope


async def container(request: Request) -> Container:  # async, because FastAPI would run a plain function in a thread
    found: Container = request.app.state.container
    return found


ContainerDep = Annotated[Container, Depends(container)]


class _Key(SecurityBase):
    """Authenticates a request by its key and declares that in OpenAPI.

    It checks the names of query parameters, too, which is cheaper than a dependency of its own.
    """

    model = HTTPBearerModel(description="An API key of a mall or, for /v1/ops, of operations.")
    scheme_name = "key"

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def _owner(self, request: Request) -> KeyOwner:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key:
            owner: KeyOwner | None = await request.app.state.container.api_keys.owner(key.strip())
            if owner is not None:
                request.scope[KEY_ID] = owner.key_id
                return owner
        raise Refusal(ErrorCode.UNAUTHORIZED, "Send a valid API key: Authorization: Bearer <key>.")


class _MallKey(_Key):
    """Accepts a mall's key: with the scope `read` for GET, with the given scope for other methods."""

    async def __call__(self, request: Request) -> MallAccess:
        owner = await self._owner(request)
        if not isinstance(owner, MallAccess):
            raise Refusal(ErrorCode.FORBIDDEN, "This needs the key of a mall.")
        decision = request.app.state.container.rate_limiter.take(owner.source, owner.request_limit)
        request.scope[EXTRA_HEADERS] = decision.headers
        if not decision.allowed:
            detail = f"{owner.source} may send {owner.request_limit} requests per second."
            raise Refusal(ErrorCode.RATE_LIMITED, detail, retry_after=1)
        _require_scope(owner, Scope.READ if request.method == "GET" else self._scope)
        require_known_params(request)
        return owner


class _OpsKey(_Key):
    """Accepts a key of operations with the scope; returns who asks, as the audit names them."""

    async def __call__(self, request: Request) -> Author:
        owner = await self._owner(request)
        if not isinstance(owner, OpsAccess):
            raise Refusal(ErrorCode.FORBIDDEN, f"This needs a key of operations with the scope {self._scope}.")
        _require_scope(owner, self._scope)
        require_known_params(request)
        proxies = request.app.state.container.settings.trusted_proxies
        return Author(
            operator=owner.key_name,
            via=Via.API,
            key_id=owner.key_id,
            request_id=request.scope[REQUEST_ID],
            address=client_address(peer(request.scope), request.headers.getlist("x-forwarded-for"), proxies),
        )


def _require_scope(owner: KeyOwner, scope: Scope) -> None:
    if scope not in owner.scopes:
        raise Refusal(ErrorCode.FORBIDDEN, f"This needs a key with the scope {scope}.")


MallDep = Annotated[MallAccess, Depends(_MallKey(Scope.TRADE))]
"""A mall whose key may read, and for other methods than GET trade."""
ReadingMallDep = Annotated[MallAccess, Depends(_MallKey(Scope.READ))]
"""A mall whose key may read, whatever the method."""
OpsDep = Annotated[Author, Depends(_OpsKey(Scope.OPS))]
AdminDep = Annotated[Author, Depends(_OpsKey(Scope.ADMIN))]
Confirm = Annotated[bool, Query(description="accept a change that may lose money")]
