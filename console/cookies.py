"""The console's cookies. A dependency notes them in the ASGI scope, and the middleware adds them to the answer."""

from ipaddress import IPv4Network, IPv6Network

from fastapi import Request
from starlette.types import Scope

from api.http.access_log import peer
from domain.networks import address_of, is_in

BASE = "/console"
"""where the console is mounted"""
SESSION_COOKIE, TOAST_COOKIE, LANGUAGE_COOKIE = "groupbuy_console", "groupbuy_toast", "groupbuy_language"
PENDING_COOKIE = "groupbuy_sign_in"
NEW_COOKIES = "groupbuy.console.cookies"
"""the key of the ASGI scope"""


def set_cookie(request: Request, name: str, value: str, *, max_age: int | None = None, same_site: str = "Strict") -> None:
    """Sets a cookie that no script reads and no other site's request carries; without `max_age`, until the browser ends.

    With `same_site` "Lax", the browser also sends it when a page of another site leads here.
    """
    age = "" if max_age is None else f"; Max-Age={max_age}"
    secure = "; Secure" if is_secure(request.scope, request.app.state.container.settings.trusted_proxies) else ""
    cookie = f"{name}={value}; Path={BASE}; HttpOnly; SameSite={same_site}{age}{secure}"
    request.scope.setdefault(NEW_COOKIES, []).append((b"set-cookie", cookie.encode()))


def drop_cookie(request: Request, name: str) -> None:
    set_cookie(request, name, "", max_age=0)


def is_secure(scope: Scope, proxies: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Whether the browser's connection has TLS: the process's own, or that of a proxy which is trusted to say so."""
    if scope["scheme"] == "https":
        return True
    forwarded = dict(scope["headers"]).get(b"x-forwarded-proto", b"").decode("latin-1").strip().lower()
    address = address_of(peer(scope))
    return forwarded == "https" and address is not None and is_in(address, proxies)
