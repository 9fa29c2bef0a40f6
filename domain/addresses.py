"""Where a callback may go: to a host that its mall has registered, at an address of the public internet."""

import ipaddress
from collections.abc import Collection

from yarl import URL

PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# Public by their numbers, but not by what answers there: clouds' own services, and addresses that stand for IPv4 ones.
NOT_PUBLIC = (
    ipaddress.ip_network("168.63.129.16/32"),
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("2001::/23"),
    ipaddress.ip_network("2002::/16"),
)


def is_public(address: str) -> bool:
    """Whether an IP address is of the public internet: not private, loopback, link-local, a cloud's metadata, multicast."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # also one with a scope, which only a link-local address has
        return False
    if any(found in network for network in NOT_PUBLIC if network.version == found.version):
        return False
    if isinstance(found, ipaddress.IPv6Address) and found not in PUBLIC_V6:
        return False
    return found.is_global and not found.is_multicast


def refused_url(url: str, hosts: Collection[str]) -> str | None:
    """Why a mall with these hosts may not be called at this URL, in a sentence; None when it may. Ports do not matter."""
    try:
        read = URL(url)
    except ValueError:
        return "It is no URL."
    if read.scheme not in {"http", "https"} or not read.raw_host:
        return "It is no http or https URL."
    if read.raw_user is not None or read.raw_password is not None:
        return "It may not carry a user or a password."
    if read.raw_host.lower() not in {host.strip("[]").lower() for host in hosts}:
        return f"{read.raw_host} is no registered host of the mall."
    return None
