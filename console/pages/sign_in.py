"""Signing in and out, and the choice of a language."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from api.dependencies import ContainerDep, request_address
from console.access import FormDep, PartsDep, ViewerDep, require_own_site
from console.cookies import BASE, LANGUAGE_COOKIE, SESSION_COOKIE, drop_cookie, set_cookie
from console.languages import Language
from console.rendering import render
from console.roles import role_of
from console.sessions import Session
from db.settings.keys import OpsAccess
from domain.errors import Refusal

router = APIRouter()

LANGUAGE_AGE = 365 * 86400
After = Annotated[str, Query(max_length=2000)]


@router.get("/sign-in")
async def sign_in_page(request: Request, container: ContainerDep, parts: PartsDep, after: After = "") -> Response:
    session = parts.signer.read_session(request.cookies.get(SESSION_COOKIE), datetime.now(UTC))
    if session and await container.api_keys.access_of(session.key_id):
        return RedirectResponse(_own_page(after), status_code=303)
    return render(request, "sign_in.html", after=after, error="")


@router.post("/sign-in")
async def sign_in(request: Request, container: ContainerDep, parts: PartsDep, form: FormDep) -> Response:
    require_own_site(request)
    address, after = request_address(request), form.get("after", "")
    if not parts.attempts.are_left(address):
        return render(request, "sign_in.html", 429, after=after, error="attempts")
    try:
        access = await container.api_keys.access(form.get("key", ""), address)
    except Refusal:
        access = None
    if not isinstance(access, OpsAccess) or role_of(access.scopes) is None:
        parts.attempts.note_failure(address)
        return render(request, "sign_in.html", 401, after=after, error="key")
    set_cookie(request, SESSION_COOKIE, parts.signer.write_session(Session.begin(access.key_id, datetime.now(UTC))))
    return RedirectResponse(_own_page(after), status_code=303)


@router.post("/sign-out")
async def sign_out(request: Request, _operator: ViewerDep) -> Response:
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
