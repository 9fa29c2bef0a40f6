"""IP networks, and the addresses in them."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

Address = IPv4Address | IPv6Address


def _text(value: object) -> object:
    # ipaddress also reads numbers and bytes: 10 is 0.0.0.10/32.
    if isinstance(value, str | IPv4Network | IPv6Network):
        return value
    raise ValueError('a network is text, for example "10.1.0.0/16"')


Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_text, json_schema_input_type=str),
    WithJsonSchema({"type": "string", "examples": ["10.1.0.0/16"]}),
]
"""A network such as `10.1.0.0/16` or `fd00::/8`; a single address is a network of one."""

LOOPBACK: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


@lru_cache(maxsize=1024)
def address_of(text: str | None) -> Address | None:
    """Returns the IP address, IPv4 where it is one embedded in IPv6; None for anything else."""
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def is_in(address: Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)
