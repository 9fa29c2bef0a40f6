"""Whose address the audit and the limits see."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from api.http.addresses import client_address

PROXIES: list[IPv4Network | IPv6Network] = [IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        (None, [], None),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),  # nobody trusts the peer
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["198.51.100.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),  # what the client claims is not believed
        ("10.0.0.1", ["198.51.100.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_that_no_trusted_proxy_stands_for(
    peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    assert client_address(peer, forwarded, PROXIES) == expected
