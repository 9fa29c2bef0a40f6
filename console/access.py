"""Who uses the console: dependencies that require a session with a role and, for a change, a form of that session."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from api.container import Container
from api.dependencies import ContainerDep, request_address
from api.http.access_log import KEY_ID, REQUEST_ID
from console.attempts import SignInAttempts
from console.cookies import SESSION_COOKIE, set_cookie
from console.lists import ListFilter
from console.live import Watch
from console.roles import Role, role_of
from console.sessions import Session, Signer
from db.settings.keys import OpsAccess
from domain.errors import ErrorCode, Refusal
from domain.messages.acts import Author
from domain.schemas.audit import Via

if TYPE_CHECKING:
    from console.single_sign_on import SingleSignOn

TOKEN_FIELD, TOKEN_HEADER = "form_token", "x-form-token"
FORM = "application/x-www-form-urlencoded"
READS = {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """What every request to the console shares, beside the API's container."""

    signer: Signer
    attempts: SignInAttempts
    teams: Watch[str]
    """of pages of a team and of its orders, by the team's id"""
    lists: Watch[ListFilter]
    single_sign_on: "SingleSignOn | None"
    """None: people sign in with keys alone"""


async def console_parts(request: Request) -> ConsoleParts:
    found: ConsoleParts = request.app.state.console
    return found


PartsDep = Annotated[ConsoleParts, Depends(console_parts)]


@dataclass(frozen=True, slots=True)
class Operator:
    """The person who is signed in."""

    name: str
    role: Role
    form_token: str
    author: Author
    """as the audit names them"""

    def may(self, role: str) -> bool:
        """Whether the person has at least the role of this name; for templates."""
        return self.role >= Role[role.upper()]


class SignInRequiredError(Exception):
    """The request has no valid session."""


class _SignedIn:
    def __init__(self, role: Role) -> None:
        self._role = role

    async def __call__(self, request: Request, container: ContainerDep, parts: PartsDep) -> Operator:
        operator = await signed_in(request, container, parts)
        request.state.operator = operator
        if operator.role < self._role:
            raise Refusal(ErrorCode.FORBIDDEN, f"This needs the role {self._role.name.lower()}.")
        if request.method not in READS:
            await _require_own_form(request, operator)
        return operator


async def signed_in(request: Request, container: Container, parts: ConsoleParts) -> Operator:
    """Returns who is signed in. Raises SignInRequiredError, Refusal."""
    now = datetime.now(UTC)
    session = parts.signer.read_session(request.cookies.get(SESSION_COOKIE), now)
    found = await person_of(container, parts, session)
    if session is None or found is None:
        raise SignInRequiredError
    name, role = found
    request.scope[KEY_ID] = session.key_id
    _limit_rate(container, session.key_id)
    if renewed := session.renewed(now):
        set_cookie(request, SESSION_COOKIE, parts.signer.write_session(renewed))
    return Operator(name, role, parts.signer.form_token(session), author_of(request, name, session.key_id))


async def person_of(container: Container, parts: ConsoleParts, session: Session | None) -> tuple[str, Role] | None:
    """Returns the name and the role of a session's person: of the key, as it is now, or as the provider has said."""
    if session is None:
        return None
    if session.role:
        return (session.name, Role[session.role]) if parts.single_sign_on else None
    access = await container.api_keys.access_of(session.key_id)
    role = role_of(access.scopes) if isinstance(access, OpsAccess) else None
    return (access.key_name, role) if isinstance(access, OpsAccess) and role is not None else None


def author_of(request: Request, name: str, key_id: str) -> Author:
    return Author(
        operator=name,
        via=Via.CONSOLE,
        key_id=key_id,
        request_id=request.scope[REQUEST_ID],
        address=request_address(request),
    )


def _limit_rate(container: Container, key_id: str) -> None:
    limit = container.settings.ops_request_limit
    if not container.rate_limiter.take(key_id, limit, b"operations").allowed:
        raise Refusal(ErrorCode.RATE_LIMITED, f"{key_id} may send {limit} requests per second.", retry_after=1)


def require_own_site(request: Request) -> None:
    """Refuses what a page of another site sends; a browser says where a request comes from."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Refusal(ErrorCode.FORBIDDEN, "Only the console's own pages may do this.")


async def _require_own_form(request: Request, operator: Operator) -> None:
    require_own_site(request)
    token = request.headers.get(TOKEN_HEADER) or (await form(request)).get(TOKEN_FIELD, "")
    if not hmac.compare_digest(token.encode(), operator.form_token.encode()):
        raise Refusal(ErrorCode.FORBIDDEN, "The form is of another session: open the page again.")


async def form(request: Request) -> dict[str, str]:
    """Returns the fields of a form; a name that is given several times has its values in lines. Other bodies are not read."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != FORM:
        return {}
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise Refusal(ErrorCode.INVALID_REQUEST, "The form cannot be read.") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        text = value.replace("\r\n", "\n").strip()
        fields[name] = f"{fields[name]}\n{text}" if fields.get(name) else text
    return fields


FormDep = Annotated[dict[str, str], Depends(form)]
ViewerDep = Annotated[Operator, Depends(_SignedIn(Role.VIEWER))]
SupportDep = Annotated[Operator, Depends(_SignedIn(Role.SUPPORT))]
OperatorDep = Annotated[Operator, Depends(_SignedIn(Role.OPERATOR))]
AdminDep = Annotated[Operator, Depends(_SignedIn(Role.ADMIN))]
