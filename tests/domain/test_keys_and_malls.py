"""Malls and keys: which scopes go together, which callbacks a mall may have."""

import pytest
from pydantic import ValidationError

from domain.error_remedies import REMEDIES
from domain.errors import ErrorCode
from domain.schemas.keys import NewKey
from domain.schemas.malls import MallFields
from domain.scopes import INCLUDED, Scope, granted


def test_trade_includes_read_and_admin_includes_ops() -> None:
    assert granted([Scope.TRADE]) == {"trade", "read"}
    assert granted([Scope.ADMIN]) == {"admin", "ops"}
    assert granted([Scope.READ]) == {"read"}
    assert granted([Scope.OPS]) == {"ops"}
    assert set(INCLUDED) == {"trade", "admin"}


@pytest.mark.parametrize(
    ("source", "scopes"),
    [("s01", ["ops"]), ("s01", ["trade", "admin"]), (None, ["trade"]), (None, ["ops", "read"]), (None, []), ("s01", ["all"])],
)
def test_scopes_fit_whose_key_it_is(source: str | None, scopes: list[str]) -> None:
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
        {"request_limit": 0},
        {"local": "yes"},
        {"webhook_secrets": ["whsec_x"]},
        {"name": ""},
    ],
)
def test_what_a_mall_cannot_be(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MallFields.model_validate({"name": "A mall", **fields})


def test_every_code_says_what_to_do() -> None:
    assert set(ErrorCode) - set(REMEDIES) == set()
