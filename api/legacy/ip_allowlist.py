"""Who calls what has no keys: judged by the address it comes from."""

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
    """Lets a request through that comes from one of the networks, itself or through a proxy that is trusted.

    Raises:
        Refusal: forbidden; also for what a page makes a browser send from a machine in there.
    """
    caller = _caller(peer, headers, proxies)
    if caller is None or not _is_in(caller, networks):
        raise Refusal(ErrorCode.FORBIDDEN, "This is served to configured networks alone (GROUPBUY_ORIGINAL_NETWORKS).")
    if _is_of_a_page(headers):
        raise Refusal(ErrorCode.FORBIDDEN, "This is not served to pages in a browser.")


def _caller(peer: str | None, headers: Headers, proxies: Sequence[Network]) -> Address | None:
    """The address of who began the request; None when nobody trusted says it."""
    address = _address(peer)
    if not any(name in headers for name in FORWARDED):
        return address
    hops = [_address(hop.strip()) for value in headers.getlist("x-forwarded-for") for hop in value.split(",")]
    # From the last to the first: each is believed as long as a trusted proxy said it.
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


def _is_of_a_page(headers: Headers) -> bool:
    # Also one that seems to be ours: whose name leads to this address may have changed since the page was loaded.
    return "origin" in headers or headers.get("sec-fetch-site", "none") != "none"
