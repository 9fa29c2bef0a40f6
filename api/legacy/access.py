"""Who may call the legacy format, which has no credentials: decided by addresses, and by what a request looks like."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Self

from starlette.datastructures import Headers
from yarl import URL

from domain.errors import ErrorCode, Refusal
from domain.networks import Address, address_of, is_in
from settings import Settings

Networks = Sequence[IPv4Network | IPv6Network]

FORWARDING_HEADER = re.compile(
    r".*(forward|proxy|cdn).*"
    r"|(.*-)?via"
    r"|(.*-)?(client|cluster|connecting|original|originating|real|remote|source|user)-?(ip|addr|address|host|port|scheme|url)"
    r"|(cf|fastly|fly|incap|l5d|surrogate|akamai)-.*"
    r"|x-(akamai|amz-cf|amzn|arr|azure|envoy|kong|original|rewrite|sucuri|varnish|vercel)(-.*)?"
    r"|x-(host|scheme|url-scheme)|front-end-https"
)
"""Headers that proxies, load balancers and content delivery networks add."""


@dataclass(frozen=True, slots=True)
class Caller:
    address: Address
    origin: str | None
    """of the web page whose browser sends the request; None for a program"""


@dataclass(frozen=True, slots=True)
class AccessRules:
    host_names: Collection[str]
    """names of this listener, apart from IP addresses"""
    proxies: Networks
    """whose X-Forwarded-For is believed"""
    page_origins: Collection[str]
    """of web pages that may make the calls that are for pages"""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        # A page that shares one origin with this format sends its own name.
        shared = {str(URL(origin).raw_host) for origin in settings.legacy_origins}
        names = {"localhost", *settings.legacy_host_names, *shared}
        return cls(names, settings.trusted_proxies, settings.legacy_origins)


def identify_caller(peer: str | None, headers: Headers, rules: AccessRules, *, is_for_pages: bool) -> Caller:
    """Returns who sends a request.

    Args:
        peer: the address of the TCP connection.
        is_for_pages: whether pages of the configured origins may make this call.

    Raises:
        Refusal: forbidden: the sender is not known, or a web page that may not make this call.
    """
    _require_known_host(headers, rules)
    address = _caller_address(peer, headers, rules.proxies)
    origin = headers.get("origin")
    if origin is None and headers.get("sec-fetch-site", "none") != "none":
        raise Refusal(ErrorCode.FORBIDDEN, "Web pages are not served here.")
    # The page's own origin included: with DNS rebinding a foreign page appears to be of this origin.
    if origin is not None and not (is_for_pages and origin in rules.page_origins):
        raise Refusal(ErrorCode.FORBIDDEN, f"Pages of {origin[:100]} are not served here (GROUPBUY_LEGACY_ORIGINS).")
    return Caller(address, origin)


def require_no_hidden_page(headers: Headers) -> None:
    """Requires that a GET that changes something was not sent for a web page.

    Browsers send no Sec-Fetch-Site to plain HTTP addresses other than loopback, and no Origin with a GET.

    Raises:
        Refusal: forbidden.
    """
    if headers.get("user-agent", "").startswith("Mozilla/") and "sec-fetch-site" not in headers:
        raise Refusal(ErrorCode.FORBIDDEN, "A browser does not say here whether a page sends this; use another client.")


def _require_known_host(headers: Headers, rules: AccessRules) -> None:
    # A page's own name can be made to resolve to this machine (DNS rebinding): browsers then send that name.
    hosts = headers.getlist("host")
    name = re.sub(r":[0-9]*$", "", hosts[0]).lower() if len(hosts) == 1 else ""
    if name not in rules.host_names and address_of(name.removeprefix("[").removesuffix("]")) is None:
        raise Refusal(ErrorCode.FORBIDDEN, f"This is not {name[:100] or 'that host'} (GROUPBUY_LEGACY_HOST_NAMES).")


def _caller_address(peer: str | None, headers: Headers, proxies: Networks) -> Address:
    """Returns the last address in X-Forwarded-For that is no trusted proxy's; the peer's, where nothing was forwarded."""
    address = address_of(peer)
    forwarding = next((name for name in headers if FORWARDING_HEADER.fullmatch(name)), None)
    if forwarding is not None:
        if address is None or not is_in(address, proxies):
            detail = f"The request was forwarded ({forwarding[:50]}) by {peer}, no configured proxy (GROUPBUY_TRUSTED_PROXIES)."
            raise Refusal(ErrorCode.FORBIDDEN, detail)
        address = _forwarded_for(headers, proxies)
    if address is None:
        raise Refusal(ErrorCode.FORBIDDEN, "The address that this comes from is not known.")
    return address


def _forwarded_for(headers: Headers, proxies: Networks) -> Address | None:
    hops = [address_of(hop.strip()) for value in headers.getlist("x-forwarded-for") for hop in value.split(",")]
    # From the last hop to the first: a hop is believed if a trusted proxy has recorded it.
    for hop in reversed(hops):
        if hop is None or not is_in(hop, proxies):
            return hop
    return hops[0] if hops else None
