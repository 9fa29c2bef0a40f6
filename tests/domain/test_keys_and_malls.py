"""Malls and keys: the scopes of a key, the callbacks of a mall."""

import pytest
from pydantic import ValidationError

from domain.schemas.keys import NewKey
from domain.schemas.malls import MallFields
from domain.scopes import INCLUDED, Scope, expand_scopes


def test_a_scope_includes_those_below_it() -> None:
    assert expand_scopes([Scope.TRADE]) == {"trade", "read"}
    assert expand_scopes([Scope.ADMIN]) == {"admin", "ops", "support", "read"}
    assert expand_scopes([Scope.OPS]) == {"ops", "support", "read"}
    assert expand_scopes([Scope.SUPPORT]) == {"support", "read"}
    assert expand_scopes([Scope.READ]) == {"read"}
    assert set(INCLUDED) == set(Scope) - {"read"}


@pytest.mark.parametrize(
    ("source", "scopes"),
    [("s01", ["ops"]), ("s01", ["trade", "admin"]), (None, ["trade"]), (None, ["ops", "trade"]), (None, []), ("s01", ["all"])],
)
def test_a_key_has_scopes_of_its_own_kind_only(source: str | None, scopes: list[str]) -> None:
    with pytest.raises(ValidationError):
        NewKey.model_validate({"name": "ann", "source": source, "scopes": scopes})


HTTP = {"kind": "http", "url": "https://Mall.example:8443/callbacks"}


def test_a_callback_goes_to_a_registered_host_on_any_port() -> None:
    mall = MallFields.model_validate({"name": "A mall", "callback": HTTP, "callback_hosts": ["MALL.example", "mall.example"]})
    assert mall.callback_hosts == ["mall.example"]
    assert (mall.local, mall.request_limit) == (False, 2000)
    MallFields.model_validate({"name": "A mall", "callback": {"kind": "amqp", "routing_key": "mall.events"}})


@pytest.mark.parametrize(
    "fields",
    [
        {"callback": HTTP},
        {"callback": HTTP, "callback_hosts": ["example"]},
        {"callback": {"kind": "http", "url": "ftp://mall.example"}, "callback_hosts": ["mall.example"]},
        {"callback": {"kind": "http", "url": "https://user:word@mall.example/"}, "callback_hosts": ["mall.example"]},
        {"callback_hosts": ["mall.example:8443"]},
        {"callback_hosts": ["https://mall.example"]},
        {"callback_hosts": ["*"]},
        {"callback_hosts": [""]},
        {"routing_key_prefixes": [""]},
        {"routing_key_prefixes": ["s01.#"]},
        {"routing_key_prefixes": ["topic.team"]},
        {"request_limit": 0},
        {"local": "yes"},
        {"webhook_secrets": ["whsec_x"]},
        {"name": ""},
    ],
)
def test_invalid_malls(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MallFields.model_validate({"name": "A mall", **fields})
