"""Settings from environment variables. Temporal's own ones (TEMPORAL_ADDRESS, …) are read by its SDK."""

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BeforeValidator, Field, HttpUrl, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_split)]
"""Networks, separated by commas: `127.0.0.0/8, ::1/128`."""


class Settings(BaseSettings):
    """Settings of the API and the worker. A variable is `GROUPBUY_` and the field's name in capitals (docs/operations.md)."""

    model_config = SettingsConfigDict(env_prefix="GROUPBUY_", frozen=True)

    database_url: str = Field(description="PostgreSQL, e.g. postgresql://postgres@127.0.0.1:5432/groupbuy")
    database_pool: PositiveInt = Field(default=16, description="connections that a process holds at most")
    temporal_ui_url: HttpUrl | None = Field(default=None, description="base URL of links to workflow histories")
    metrics_port: int | None = Field(default=None, description="port of the worker's /metrics; the API serves its own")

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

    amqp_url: SecretStr | None = Field(default=None, description="RabbitMQ, e.g. amqp://user:password@127.0.0.1:5672/")
    # At most 18 s: an attempt begins within 10 s of its activity, whose timeout is 30 s (workflows/activity_calls.py).
    callback_timeout: PositiveFloat = Field(default=15.0, le=18.0, description="timeout of a callback attempt, in seconds")
    callback_first_delay: PositiveFloat = Field(
        default=1.0, description="seconds before the first retry; the delay doubles from there"
    )
    callback_max_delay: PositiveFloat = Field(default=3600.0, description="longest delay between two attempts, in seconds")
    callback_give_up: PositiveFloat = Field(default=259200.0, description="seconds after which a callback is given up")

    original_networks: Networks = Field(
        default=(IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")),
        description="networks that may call the legacy API /api/v1/gbm, which has no keys; empty: none",
    )
    trusted_proxies: Networks = Field(
        default=(), description="proxies whose X-Forwarded-For is trusted there; without one, forwarded requests are refused"
    )

    log_level: str = "INFO"

    @field_validator("amqp_url")
    @classmethod
    def _is_amqp(cls, url: SecretStr | None) -> SecretStr | None:
        # The message must not contain the value, which holds a password.
        if url is not None and not re.fullmatch(r"amqps?://[^/].*", url.get_secret_value()):
            raise ValueError("an address like amqp://user:password@127.0.0.1:5672/ is expected")
        return url
