"""Where a callback may be sent: to a host that its mall has registered, at a public address."""

import ipaddress
from collections.abc import Collection

from yarl import URL

PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# Global by their range, but not public: services of cloud providers, and addresses that embed an IPv4 address.
NOT_PUBLIC = (
    ipaddress.ip_network("168.63.129.16/32"),
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("2001::/23"),
    ipaddress.ip_network("2002::/16"),
)


def is_public(address: str) -> bool:
    """Whether an IP address is public: not private, loopback, link-local, multicast, or a cloud's metadata service."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if any(parsed in network for network in NOT_PUBLIC if network.version == parsed.version):
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed not in PUBLIC_V6:
        return False
    return parsed.is_global and not parsed.is_multicast


def url_refusal(url: str, hosts: Collection[str]) -> str | None:
    """Returns why a mall with these hosts may not be called at a URL, in a sentence; None where it may. Ports are ignored."""
    try:
        parsed = URL(url)
    except ValueError:
        return "It is not a URL."
    if parsed.scheme not in {"http", "https"} or not parsed.raw_host:
        return "It is not an http or https URL."
    if parsed.raw_user is not None or parsed.raw_password is not None:
        return "It must not contain a user name or a password."
    if parsed.raw_host.lower() not in {host.strip("[]").lower() for host in hosts}:
        return f"{parsed.raw_host} is not a registered host of the mall."
    return None
