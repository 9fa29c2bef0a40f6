"""Admits callers of the legacy format, which has no credentials, by their IP address."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers

from domain.errors import ErrorCode, Refusal

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def require_allowed_address(
    peer: str | None, headers: Headers, networks: Sequence[Network], proxies: Sequence[Network]
) -> None:
    """Requires that a request comes from one of the networks, directly or through trusted proxies.

    Raises:
        Refusal: forbidden, also for requests that a web page makes a browser send from an allowed machine.
    """
    caller = _caller(peer, headers, proxies)
    if caller is None or not _is_in(caller, networks):
        raise Refusal(ErrorCode.FORBIDDEN, "Only configured networks are served (GROUPBUY_ORIGINAL_NETWORKS).")
    if _is_sent_by_page(headers):
        raise Refusal(ErrorCode.FORBIDDEN, "Web pages are not served.")


def _caller(peer: str | None, headers: Headers, proxies: Sequence[Network]) -> Address | None:
    """Returns the address of the client; None where no trusted proxy names it."""
    address = _address(peer)
    if not any(name in headers for name in FORWARDED):
        return address
    hops = [_address(hop.strip()) for value in headers.getlist("x-forwarded-for") for hop in value.split(",")]
    # From the last hop to the first: a hop is believed if a trusted proxy has recorded it.
    while hops and address is not None and _is_in(address, proxies):
        address = hops.pop()
        if address is not None and not _is_in(address, proxies):
            return address
    return None


def _address(text: str | None) -> Address | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _is_sent_by_page(headers: Headers) -> bool:
    # Same-origin pages included, because with DNS rebinding a foreign page appears to be of this origin.
    return "origin" in headers or headers.get("sec-fetch-site", "none") != "none"
