"""Cookies are marked Secure where the browser's connection has TLS, as a trusted proxy says."""

from ipaddress import IPv4Network

import pytest

from console.cookies import is_secure

PROXIES = (IPv4Network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("scheme", "peer", "forwarded", "secure"),
    [
        ("https", "192.0.2.1", None, True),
        ("http", "192.0.2.1", None, False),
        ("http", "10.1.2.3", b"https", True),
        ("http", "10.1.2.3", b"http", False),
        ("http", "10.1.2.3", None, False),
        ("http", "192.0.2.1", b"https", False),
    ],
)
def test_who_is_believed(scheme: str, peer: str, forwarded: bytes | None, secure: bool) -> None:
    headers = [(b"x-forwarded-proto", forwarded)] if forwarded else []
    scope = {"type": "http", "scheme": scheme, "client": (peer, 40000), "headers": headers}
    assert is_secure(scope, PROXIES) is secure
