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
from db.settings.keys import KeyAccess, MallAccess, OpsAccess
from domain.errors import ErrorCode, Refusal
from domain.messages.acts import Author
from domain.schemas.audit import Via
from domain.scopes import Scope


async def container(request: Request) -> Container:  # async, because FastAPI would run a plain function in a thread
    found: Container = request.app.state.container
    return found


SCOPES = "groupbuy.scopes"
"""the key of the ASGI scope for what the key of operations may do"""

ContainerDep = Annotated[Container, Depends(container)]


class _Key(SecurityBase):
    """Authenticates a request by its key and declares that in OpenAPI.

    It checks the names of query parameters, too, which is cheaper than a dependency of its own.
    """

    model = HTTPBearerModel(description="An API key of a mall or, for /v1/ops, of operations.")
    scheme_name = "key"

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def _owner(self, request: Request) -> KeyAccess:
        """Returns what the request's key grants, whether that is enough or not, within the key's rate limit."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        given = key.strip() if scheme.lower() == "bearer" else ""
        owner: KeyAccess = await request.app.state.container.api_keys.access(given, request_address(request))
        request.scope[KEY_ID] = owner.key_id
        if isinstance(owner, MallAccess):
            _limit_rate(request, owner.source, owner.request_limit, policy=b"mall")
        else:
            limit = request.app.state.container.settings.ops_request_limit
            _limit_rate(request, owner.key_id, limit, policy=b"operations")
        return owner


class _MallKey(_Key):
    """Accepts a mall's key: with the scope `read` for GET, with the given scope for other methods."""

    async def __call__(self, request: Request) -> MallAccess:
        owner = await self._owner(request)
        if not isinstance(owner, MallAccess):
            raise Refusal(ErrorCode.FORBIDDEN, "This needs the key of a mall.")
        _require_scope(owner, Scope.READ if request.method == "GET" else self._scope)
        require_known_params(request)
        return owner


class _OpsKey(_Key):
    """Accepts a key of operations with the scope; to read what is not an administrator's, with the scope `read`.

    Returns who asks, as the audit names them.
    """

    async def __call__(self, request: Request) -> Author:
        owner = await self._owner(request)
        if not isinstance(owner, OpsAccess):
            raise Refusal(ErrorCode.FORBIDDEN, f"This needs a key of operations with the scope {self._scope}.")
        reads = request.method == "GET" and self._scope is not Scope.ADMIN
        _require_scope(owner, Scope.READ if reads else self._scope)
        require_known_params(request)
        request.scope[SCOPES] = owner.scopes
        return Author(
            operator=owner.key_name,
            via=Via.API,
            key_id=owner.key_id,
            request_id=request.scope[REQUEST_ID],
            address=request_address(request),
        )


def request_address(request: Request) -> str | None:
    """Returns the address of the client, as trusted proxies say."""
    proxies = request.app.state.container.settings.trusted_proxies
    return client_address(peer(request.scope), request.headers.getlist("x-forwarded-for"), proxies)


def _limit_rate(request: Request, subject: str, limit: int, policy: bytes) -> None:
    decision = request.app.state.container.rate_limiter.take(subject, limit, policy)
    request.scope[EXTRA_HEADERS] = decision.headers
    if not decision.allowed:
        raise Refusal(ErrorCode.RATE_LIMITED, f"{subject} may send {limit} requests per second.", retry_after=1)


def require_scope(request: Request, scope: Scope) -> None:
    """Refuses a request of operations that needs more than its call does."""
    if scope not in request.scope[SCOPES]:
        raise Refusal(ErrorCode.FORBIDDEN, f"This needs a key with the scope {scope}.")


def _require_scope(owner: KeyAccess, scope: Scope) -> None:
    if scope not in owner.scopes:
        raise Refusal(ErrorCode.FORBIDDEN, f"This needs a key with the scope {scope}.")


MallDep = Annotated[MallAccess, Depends(_MallKey(Scope.TRADE))]
"""A mall whose key may read, and for other methods than GET trade."""
ReadingMallDep = Annotated[MallAccess, Depends(_MallKey(Scope.READ))]
"""A mall whose key may read, whatever the method."""
ReadingOpsDep = Annotated[Author, Depends(_OpsKey(Scope.READ))]
"""Operations, with a key that may read, whatever the method."""
SupportDep = Annotated[Author, Depends(_OpsKey(Scope.SUPPORT))]
OpsDep = Annotated[Author, Depends(_OpsKey(Scope.OPS))]
AdminDep = Annotated[Author, Depends(_OpsKey(Scope.ADMIN))]
Confirm = Annotated[bool, Query(description="accept a change that may lose money")]
