"""Where a callback may be sent: to a host that its mall has registered, at a public address; with a routing key of its own."""

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


RESERVED = "topic."
"""begins the routing keys of the legacy format, whose malls all consume the same ones"""


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


def default_routing_key_prefixes(source: str) -> list[str]:
    """Returns the prefixes of a mall for which none are registered."""
    return [prefix for prefix in [f"{source}."] if prefix != RESERVED]


def routing_key_refusal(key: str, prefixes: Collection[str], *, legacy: bool = False) -> str | None:
    """Returns why a mall with these prefixes may not be told with a routing key, in a sentence; None where it may.

    Args:
        key: the routing key.
        prefixes: the mall's registered ones.
        legacy: whether the events go in the legacy format.
    """
    if key.startswith(RESERVED):
        return None if legacy else f"{RESERVED}… is reserved for the legacy format."
    if not any(key.startswith(prefix) for prefix in prefixes):
        return f"{key} is under no registered routing key prefix of the mall."
    return None
