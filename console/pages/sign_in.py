"""Signing in and out, and the choice of a language."""

import logging
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from api.container import Container
from api.dependencies import ContainerDep, request_address
from console.access import ConsoleParts, FormDep, PartsDep, ViewerDep, author_of, person_of, require_own_site
from console.cookies import BASE, LANGUAGE_COOKIE, PENDING_COOKIE, SESSION_COOKIE, drop_cookie, set_cookie
from console.languages import Language
from console.rendering import render
from console.roles import Role, role_of
from console.sessions import Session
from console.sign_ins import SIGN_IN_WITHIN, NoRoleError, PendingSignIn, SingleSignOnError
from db.settings.audit import record_session
from db.settings.keys import OpsAccess
from domain.errors import ErrorCode, Refusal
from domain.messages.acts import Author

router = APIRouter()
log = logging.getLogger("groupbuy.console")

LANGUAGE_AGE = 365 * 86400
After = Annotated[str, Query(max_length=2000)]


@router.get("/sign-in")
async def sign_in_page(request: Request, container: ContainerDep, parts: PartsDep, after: After = "") -> Response:
    session = parts.signer.read_session(request.cookies.get(SESSION_COOKIE), datetime.now(UTC))
    if await person_of(container, parts, session):
        return RedirectResponse(_own_page(after), status_code=303)
    return _page(request, parts, after)


def _page(request: Request, parts: ConsoleParts, after: str, http_status: int = 200, error: str = "") -> Response:
    return render(request, "sign_in.html", http_status, after=after, error=error, has_provider=parts.single_sign_on is not None)


@router.post("/sign-in")
async def sign_in(request: Request, container: ContainerDep, parts: PartsDep, form: FormDep) -> Response:
    require_own_site(request)
    address, after = request_address(request), form.get("after", "")
    if not parts.attempts.are_left(address):
        return _page(request, parts, after, 429, "attempts")
    try:
        access = await container.api_keys.access(form.get("key", ""), address)
    except Refusal:
        access = None
    role = role_of(access.scopes) if isinstance(access, OpsAccess) else None
    if not isinstance(access, OpsAccess) or role is None:
        parts.attempts.note_failure(address)
        return _page(request, parts, after, 401, "key")
    await _note_sign_in(container, author_of(request, access.key_name, access.key_id), role)
    set_cookie(request, SESSION_COOKIE, parts.signer.write_session(Session.begin(access.key_id, datetime.now(UTC))))
    return RedirectResponse(_own_page(after), status_code=303)


@router.get("/sign-in/provider")
async def sign_in_elsewhere(request: Request, container: ContainerDep, parts: PartsDep, after: After = "") -> Response:
    """Leads to the page of the OpenID Connect provider, which leads back."""
    if parts.single_sign_on is None:
        raise Refusal(ErrorCode.NOT_FOUND, "No provider is configured.")
    pending = PendingSignIn.begin(_redirect_uri(request, container), _own_page(after), datetime.now(UTC))
    try:
        address = await parts.single_sign_on.address(pending)
    except SingleSignOnError as exc:
        log.warning("the OpenID Connect provider does not answer: %s", exc)
        return _page(request, parts, after, 502, "provider")
    signed = parts.signer.sign("sign-in", pending.as_dict())
    set_cookie(request, PENDING_COOKIE, signed, max_age=int(SIGN_IN_WITHIN.total_seconds()), same_site="Lax")
    return RedirectResponse(address, status_code=303)


@router.get("/sign-in/provider/back")
async def sign_in_back(
    request: Request,
    container: ContainerDep,
    parts: PartsDep,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
) -> Response:
    """Where the provider leads back to; whatever else it sends is not read."""
    address, now = request_address(request), datetime.now(UTC)
    kept = parts.signer.read("sign-in", request.cookies.get(PENDING_COOKIE))
    pending = PendingSignIn(**kept) if kept else None
    drop_cookie(request, PENDING_COOKIE)
    if not parts.attempts.are_left(address):
        return _page(request, parts, "", 429, "attempts")
    if parts.single_sign_on is None or pending is None or not pending.is_valid(state, now) or not code:
        parts.attempts.note_failure(address)
        return _page(request, parts, "", 401, "provider")
    try:
        person = await parts.single_sign_on.person(pending, code)
    except SingleSignOnError as exc:
        parts.attempts.note_failure(address)
        log.warning("nobody was signed in by the OpenID Connect provider: %s", exc)
        return _page(request, parts, pending.after, 403, "role" if isinstance(exc, NoRoleError) else "provider")
    session = Session.begin(f"oidc:{person.subject}", now, person.name, person.role.name)
    await _note_sign_in(container, author_of(request, session.name, session.key_id), person.role)
    set_cookie(request, SESSION_COOKIE, parts.signer.write_session(session))
    return render(request, "signed_in.html", after=_own_page(pending.after))


async def _note_sign_in(container: Container, author: Author, role: Role) -> None:
    detail = f"Signed in as {role.name.lower()}."
    await record_session(container.database, "sign_in", author, detail, datetime.now(UTC))


def _redirect_uri(request: Request, container: Container) -> str:
    """As it is registered with the provider: where people open the console."""
    base = str(container.settings.console_url or f"{request.url.scheme}://{request.url.netloc}{BASE}")
    return f"{base.rstrip('/')}/sign-in/provider/back"


@router.post("/sign-out")
async def sign_out(request: Request, operator: ViewerDep, container: ContainerDep) -> Response:
    await record_session(container.database, "sign_out", operator.author, "Signed out.", datetime.now(UTC))
    drop_cookie(request, SESSION_COOKIE)
    return RedirectResponse(f"{BASE}/sign-in", status_code=303)


@router.get("/language/{language}")
async def choose_language(request: Request, language: Language, after: After = "") -> Response:
    set_cookie(request, LANGUAGE_COOKIE, language, max_age=LANGUAGE_AGE)
    return RedirectResponse(_own_page(after), status_code=303)


def _own_page(address: str) -> str:
    """Returns the address if it is one of the console's pages; else that of the first page."""
    parts = urlsplit(address)
    is_own = not parts.scheme and not parts.netloc and parts.path.startswith(f"{BASE}/") and "\\" not in address
    return address if is_own else f"{BASE}/"
