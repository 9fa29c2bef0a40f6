"""Sessions: what was signed here is read, and only for as long as it is valid."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from console.roles import Role, role_of
from console.sessions import IDLE, RENEW_AFTER, Session, Signer
from domain.scopes import Scope, expand_scopes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONGEST = timedelta(hours=3)
SIGNER = Signer("a secret of the test", LONGEST)
SESSION = Session.begin("key-1", NOW)


def test_a_session_is_read_as_it_was_written() -> None:
    assert SIGNER.read_session(SIGNER.write_session(SESSION), NOW) == SESSION


@pytest.mark.parametrize("cookie", [None, "", ".", "x", "x.y", "é.é", "e30=.00"])
def test_what_was_not_signed_here_is_no_session(cookie: str | None) -> None:
    assert SIGNER.read_session(cookie, NOW) is None


def test_a_changed_or_foreign_cookie_is_no_session() -> None:
    payload, _, signature = SIGNER.write_session(SESSION).partition(".")
    other, _, _ = SIGNER.write_session(replace(SESSION, key_id="key-2")).partition(".")
    assert SIGNER.read_session(f"{other}.{signature}", NOW) is None
    assert Signer("another secret", LONGEST).read_session(f"{payload}.{signature}", NOW) is None
    assert SIGNER.read("toast", f"{payload}.{signature}") is None


def test_a_session_expires_unused_and_at_last_also_when_it_is_used() -> None:
    second = timedelta(seconds=1)
    unused, used = (SIGNER.write_session(each) for each in (SESSION, replace(SESSION, seen_at=(NOW + LONGEST).timestamp())))
    assert SIGNER.read_session(unused, NOW + IDLE)
    assert SIGNER.read_session(unused, NOW + IDLE + second) is None
    assert SIGNER.read_session(used, NOW + LONGEST)
    assert SIGNER.read_session(used, NOW + LONGEST + second) is None


def test_a_cookie_is_renewed_when_it_is_no_longer_recent() -> None:
    assert SESSION.renewed(NOW + RENEW_AFTER / 2) is None
    renewed = SESSION.renewed(NOW + RENEW_AFTER)
    assert renewed == replace(SESSION, seen_at=(NOW + RENEW_AFTER).timestamp())


def test_a_form_belongs_to_one_session() -> None:
    assert SIGNER.form_token(SESSION) == SIGNER.form_token(replace(SESSION, seen_at=0))
    assert SIGNER.form_token(SESSION) != SIGNER.form_token(Session.begin("key-1", NOW))


@pytest.mark.parametrize(
    ("scope", "role"),
    [(Scope.READ, Role.VIEWER), (Scope.SUPPORT, Role.SUPPORT), (Scope.OPS, Role.OPERATOR), (Scope.ADMIN, Role.ADMIN)],
)
def test_the_scopes_of_a_key_give_the_role(scope: Scope, role: Role) -> None:
    assert role_of(expand_scopes([scope])) is role


def test_a_key_without_a_scope_of_operations_has_no_role() -> None:
    assert role_of([]) is None
