"""What a process takes from its environment."""

import pytest
from pydantic import SecretStr, ValidationError

from settings import Settings

HERE = [
    "postgresql://postgres@127.0.0.1:5432/groupbuy",
    "postgresql://postgres@localhost/groupbuy",
    "postgresql://postgres@[::1]/groupbuy",
    "postgresql:///groupbuy?host=/var/run/postgresql",
]
ENCRYPTED = [
    "postgresql://u:p@db.example/groupbuy?sslmode=verify-full",
    "postgresql://u:p@10.0.0.7:5432/groupbuy?sslmode=require",
    "postgresql://u:p@one:5432,two:5432/groupbuy?sslmode=verify-ca",
]
PLAIN = [
    "postgresql://u:p@db.example/groupbuy",
    "postgresql://u:p@10.0.0.7/groupbuy?sslmode=prefer",
    "postgresql://u:p@one:5432,two:5432/groupbuy",
]


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)


@pytest.mark.parametrize("url", [*HERE, *ENCRYPTED])
def test_a_database_on_this_machine_or_over_tls_is_taken(url: str) -> None:
    assert Settings(database_url=url).database_url == url


@pytest.mark.parametrize("url", PLAIN)
def test_a_database_elsewhere_without_tls_is_refused_until_one_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="sslmode=verify-full") as refused:
        Settings(database_url=url)
    [error] = refused.value.errors()
    assert error["loc"] == ("database_plaintext",)
    assert "u:p" not in error["msg"]
    assert Settings(database_url=url, database_plaintext=True).database_plaintext
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert ("sslmode=prefer" in url) or Settings(database_url=url)


KEY = "ZGQ" + "A" * 40 + "="


@pytest.mark.parametrize("keys", [f"one:{KEY}", f"one:{KEY}, two:{KEY}", f"plain,one:{KEY}", ""])
def test_keys_of_payloads_have_ids(keys: str) -> None:
    assert Settings(database_url=HERE[0], payload_keys=SecretStr(keys))


@pytest.mark.parametrize(
    "keys", [KEY, "plain", f"one:{KEY[:-8]}", f"one:{KEY},one:{KEY}", f"one:{KEY},plain", f"one:{KEY},", ","]
)
def test_other_keys_of_payloads_are_refused_without_being_printed(keys: str) -> None:
    with pytest.raises(ValidationError, match="id:key is expected") as refused:
        Settings(database_url=HERE[0], payload_keys=SecretStr(keys))
    assert KEY[:20] not in refused.value.errors()[0]["msg"]
