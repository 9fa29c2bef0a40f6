"""Where a request came from."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from domain.networks import address_of, is_in


def client_address(peer: str | None, forwarded_for: Sequence[str], proxies: Sequence[IPv4Network | IPv6Network]) -> str | None:
    """Returns the address of the client: the peer's, or what trusted proxies say of theirs, from the last hop to the first."""
    address = address_of(peer)
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    while hops and address is not None and is_in(address, proxies):
        if (named := address_of(hops.pop())) is None:
            break
        address = named
    return str(address) if address is not None else None
