"""Settings from environment variables. Temporal's own ones (TEMPORAL_ADDRESS, …) are read by its SDK."""

import os
import re
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from yarl import URL


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _host_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?", text):
        raise ValueError(f"{text[:100]!r} is no host name without a port, such as shop.example")
    return text.lower()


def _origin(text: str) -> str:
    """Returns an origin as browsers send it."""
    try:
        url = URL(text)
        if url.scheme in {"http", "https"} and url == url.origin():
            return str(url.origin())
    except ValueError:
        pass
    raise ValueError(f"{text[:100]!r} is no origin, such as https://shop.example or http://shop.example:8080")


TaskQueue = Literal["groupbuy", "groupbuy-refunds", "groupbuy-mass", "groupbuy-callbacks", "groupbuy-reconciliation"]
TaskQueues = Annotated[tuple[TaskQueue, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_split)]
"""Networks, separated by commas: `127.0.0.0/8, ::1/128`."""
Names = Annotated[tuple[Annotated[str, AfterValidator(_host_name)], ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)]


PAYLOAD_KEY = re.compile(r"(?P<id>[A-Za-z0-9._-]{1,64}):[A-Za-z0-9+/]{43}=")


def _pairs(value: object) -> object:
    """Returns `name=value, …` as a mapping."""
    pairs = [part.partition("=") for part in value.split(",") if part.strip()] if isinstance(value, str) else None
    return value if pairs is None else {name.strip(): given.strip() for name, _, given in pairs}


def _web_address(text: str) -> str:
    # As it is given: a provider is named with or without a slash at the end.
    with suppress(ValueError):
        if URL(text).scheme in {"http", "https"} and URL(text).host:
            return text
    raise ValueError(f"{text[:100]!r} is no address, such as https://id.example")


WebAddress = Annotated[str, AfterValidator(_web_address)]
Roles = Annotated[
    dict[Literal["viewer", "support", "operator", "admin"], Annotated[str, Field(min_length=1)]],
    NoDecode,
    BeforeValidator(_pairs),
]

ENCRYPTED = {"require", "verify-ca", "verify-full"}


def _is_encrypted(database_url: str) -> bool:
    """Whether PostgreSQL is reached over TLS, over a socket of this machine, or over loopback."""
    with suppress(ValueError):  # several hosts, or a name instead of an address
        url = URL(database_url)
        host = url.host or url.query.get("host", "")
        if not host or host.startswith("/") or host == "localhost" or ip_address(host).is_loopback:
            return True
    mode = re.search(r"[?&]sslmode=([a-z-]+)", database_url)
    return (mode[1] if mode else os.environ.get("PGSSLMODE")) in ENCRYPTED


class DatabaseSettings(BaseSettings):
    """Where PostgreSQL is: for every process and command, none of which reaches it without TLS by mistake."""

    model_config = SettingsConfigDict(env_prefix="GROUPBUY_", frozen=True)

    database_url: str = Field(description="PostgreSQL, e.g. postgresql://postgres@127.0.0.1:5432/groupbuy")
    database_plaintext: bool = Field(
        default=False,
        validate_default=True,
        description="PostgreSQL may be reached without TLS, or without checking who it is, though it is not on this machine",
    )

    @field_validator("database_plaintext")
    @classmethod
    def _must_be_said(cls, plaintext: bool, info: ValidationInfo) -> bool:
        # The messages do not contain the URL, which holds a password.
        if not plaintext and not _is_encrypted(info.data.get("database_url", "")):
            raise ValueError(
                "the database is not on this machine: add ?sslmode=verify-full to GROUPBUY_DATABASE_URL, or set this to true"
            )
        return plaintext


class Settings(DatabaseSettings):
    """Settings of the API and the worker. A variable is `GROUPBUY_` and the field's name in capitals (docs/operations.md)."""

    database_pool: PositiveInt = Field(default=16, description="connections that a process holds at most")
    payload_keys: SecretStr | None = Field(
        default=None,
        description="encrypt what Temporal keeps: `id:key,id:key`, each key 32 bytes in base64; the first encrypts, each"
        " decrypts, `plain` in the first place encrypts nothing. The connection to Temporal reads it (workflows/encryption.py)",
    )
    temporal_ui_url: HttpUrl | None = Field(default=None, description="base URL of links to workflow histories")
    console_url: HttpUrl | None = Field(default=None, description="where operators open the console; histories link to it")
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="port of /metrics; without it, a worker has none, and the API serves it on its own port",
    )
    metrics_host: str = Field(default="127.0.0.1", description="address that metrics_port listens on")

    local_activities: bool = Field(
        default=True,
        description="team workflows run short transactions as local activities first, and as regular ones where that fails",
    )
    updates_per_team: PositiveInt = Field(
        default=4,
        description="updates that one API process keeps in flight per team; Temporal refuses the 11th of all processes",
    )
    answer_within: PositiveFloat = Field(
        default=8.0, description="seconds after which a request is answered `temporarily_unavailable`"
    )

    admission: Literal["auto", "orchestrated"] = Field(
        default="auto",
        description="auto: locks and payments that the team's workflow would answer late are admitted directly;"
        " orchestrated: never",
    )
    orchestrated_at_once: NonNegativeInt = Field(
        default=2, description="locks and payments that one API process has under way in workflows; the others go directly"
    )
    orchestrated_within: PositiveFloat = Field(
        default=1.0, description="seconds after which a lock or payment without the workflow's answer goes directly"
    )
    task_queues: TaskQueues = Field(default=(), description="what a worker serves; empty: all of them")
    wakeups_at_once: PositiveInt = Field(
        default=8,
        description="teams changed directly whose workflows take over at the same time, of all workers together;"
        " fewer while buyers need workflows, too",
    )

    http_connections: PositiveInt = Field(default=2000, description="connections that one API process has at most")
    http_url_bytes: PositiveInt = Field(default=8192, description="bytes of a request's address at most")
    http_header_bytes: PositiveInt = Field(default=32768, description="bytes of a request's header at most")
    http_header_timeout: PositiveFloat = Field(
        default=10.0, description="seconds in which a request's header arrives, and the first byte of a new connection"
    )
    http_body_timeout: PositiveFloat = Field(
        default=15.0, description="seconds in which a request's body arrives; of an upload, each 64 KiB"
    )

    ops_request_limit: PositiveInt = Field(default=500, description="requests per second of one key of operations")
    key_failure_limit: PositiveInt = Field(
        default=100,
        description="requests without a valid key per second that one API process answers `unauthorized` from one address",
    )

    console_secret: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="signs the sessions of the operators' console, the same in every process; without it, the console is off",
    )
    console_session_hours: PositiveFloat = Field(
        default=12, le=168, description="after which a person has to sign in to the console again, also one who is using it"
    )

    oidc_issuer: WebAddress | None = Field(
        default=None, description="OpenID Connect provider that people sign in to the console with; without it, keys alone"
    )
    oidc_client_id: str = Field(default="", description="the console's id with that provider")
    oidc_client_secret: SecretStr = Field(default=SecretStr(""), description="its secret")
    oidc_scope: str = Field(default="openid profile email", description="what is asked for; it has to bring the claim")
    oidc_roles_claim: str = Field(default="roles", description="claim of the ID token that says a person's roles")
    oidc_roles: Roles = Field(
        default={"viewer": "viewer", "support": "support", "operator": "operator", "admin": "admin"},
        description="what the claim has for each role: viewer=…, support=…, operator=…, admin=…",
    )

    amqp_url: SecretStr | None = Field(default=None, description="RabbitMQ, e.g. amqp://user:password@127.0.0.1:5672/")
    # At most 18 s: an attempt begins within 10 s of its activity, whose timeout is 30 s (workflows/activity_calls.py).
    callback_timeout: PositiveFloat = Field(default=15.0, le=18.0, description="timeout of a callback attempt, in seconds")
    callback_first_delay: PositiveFloat = Field(
        default=1.0, description="seconds before the first retry; the delay doubles from there"
    )
    callback_max_delay: PositiveFloat = Field(default=3600.0, description="longest delay between two attempts, in seconds")
    callback_give_up: PositiveFloat = Field(default=259200.0, description="seconds after which a callback is given up")

    retention_days: int | None = Field(
        default=None,
        ge=60,
        description="days after which a team that is over is removed with all its rows; without it, everything is kept",
    )

    retention_archive: bool = Field(default=False, description="whether a team goes to the archive when it is removed")

    legacy_port: int | None = Field(
        default=None, ge=1, le=65535, description="port of the legacy format, which has no credentials; without it, it is off"
    )
    legacy_host: str = Field(default="127.0.0.1", description="address that the legacy format listens on")
    legacy_host_names: Names = Field(
        default=(), description="names that it is called by, as in its callers' URLs; IP addresses and localhost always are"
    )
    legacy_dcc_networks: Networks = Field(default=(), description="networks that may set switches through dcc/update_config")
    legacy_origins: Origins = Field(
        default=(), description="origins of web pages that may ask for prices and teams from the browser"
    )
    trusted_proxies: Networks = Field(
        default=(),
        description="proxies whose X-Forwarded-For is believed; without one, the legacy format refuses forwarded requests",
    )

    log_level: str = "INFO"
    log_format: Literal["text", "json"] = Field(default="text", description="json: every line of the log is an object")

    @field_validator("payload_keys")
    @classmethod
    def _are_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        # The message must not contain the keys.
        given = [part.strip() for part in keys.get_secret_value().split(",")] if keys else []
        ids = [PAYLOAD_KEY.fullmatch(part) for part in given[given[:1] == ["plain"] :]]
        if keys and (not ids or None in ids or len({found["id"] for found in ids if found}) < len(ids)):
            raise ValueError("id:key is expected, separated by commas, each id once and each key 32 bytes in base64")
        return keys

    @field_validator("amqp_url")
    @classmethod
    def _is_amqp(cls, url: SecretStr | None) -> SecretStr | None:
        # The message must not contain the value, which holds a password.
        if url is not None and not re.fullmatch(r"amqps?://[^/].*", url.get_secret_value()):
            raise ValueError("an address like amqp://user:password@127.0.0.1:5672/ is expected")
        return url
