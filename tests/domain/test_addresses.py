"""Where callbacks may be sent."""

import pytest

from domain.addresses import default_routing_key_prefixes, is_public, routing_key_refusal, url_refusal

HOSTS = ("mall.example", "Shop.Example", "[2606:4700::1111]")


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.0.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "::1", "::"),  # noqa: S104
        *("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"),  # metadata
        *("fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
        *("100.64.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.1", "192.88.99.1", "2001:db8::1"),
        # embedded IPv4 addresses
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1"),
        *("mall.example", "", "2130706433", "0x7f.1"),
    ],
)
def test_other_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://mall.example",
        "https://mall.example:8443/callbacks?of=1",
        "https://MALL.example./x".replace("./", "/"),
        "http://shop.example/",
        "http://[2606:4700::1111]:8080/",
    ],
)
def test_a_registered_host_is_accepted_with_any_port(url: str) -> None:
    assert url_refusal(url, HOSTS) is None


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://other.example/",
            "http://mall.example.evil/",
            "http://evilmall.example/",
            "http://mall.example@other.example/",
        ),
        *("http://ann:secret@mall.example/", "http://ann@mall.example/", "ftp://mall.example/", "mall.example/", "", "http://"),
        *("http://mall.example\\@other.example/", "http://127.0.0.1/", "http://[::1", "暂无"),
    ],
)
def test_a_refusal_of_another_url_contains_no_password(url: str) -> None:
    refused = url_refusal(url, HOSTS)
    assert refused
    assert "secret" not in refused


@pytest.mark.parametrize(
    ("key", "prefixes", "standard", "legacy"),
    [
        ("s01.orders", ["s01."], True, True),
        ("orders.s01", ["s01.", "orders.s01"], True, True),
        ("s01", ["s01."], False, False),
        ("s011.orders", ["s01."], False, False),
        ("s01.orders", [], False, False),
        ("topic.team_success", [], False, True),
        ("topic.team_refund", ["t", "topic."], False, True),
        ("topics.s01", ["topics."], True, True),
    ],
)
def test_a_routing_key_is_the_mall_s_own(key: str, prefixes: list[str], standard: bool, legacy: bool) -> None:
    assert (routing_key_refusal(key, prefixes) is None) is standard
    assert (routing_key_refusal(key, prefixes, legacy=True) is None) is legacy


def test_prefixes_are_the_source_where_none_are_registered() -> None:
    assert default_routing_key_prefixes("s01") == ["s01."]
    assert default_routing_key_prefixes("topic") == []
