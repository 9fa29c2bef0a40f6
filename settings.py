"""What a process reads from its environment. Temporal's own variables (TEMPORAL_ADDRESS, …) are read by its SDK."""

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BeforeValidator, Field, HttpUrl, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_listed)]
"""Separated by commas, for example `127.0.0.0/8, ::1/128`."""


class Settings(BaseSettings):
    """Every variable is `GROUPBUY_` + the field's name in capitals; `docs/operations.md` lists them."""

    model_config = SettingsConfigDict(env_prefix="GROUPBUY_", frozen=True)

    database_url: str = Field(description="PostgreSQL, e.g. postgresql://postgres@127.0.0.1:5432/groupbuy")
    database_pool: PositiveInt = Field(default=16, description="connections a process holds at most")
    temporal_ui_url: HttpUrl | None = Field(default=None, description="base of the links to workflow histories")
    metrics_port: int | None = Field(default=None, description="the worker's /metrics; the API serves its own")

    local_activities: bool = Field(
        default=True, description="new teams try lock and settle as a local activity before a regular one"
    )
    updates_per_team: PositiveInt = Field(
        default=4, description="updates one API process keeps in flight per team (the server refuses the 11th)"
    )
    answer_within: PositiveFloat = Field(default=8.0, description="seconds until a request answers `temporarily_unavailable`")

    amqp_url: SecretStr | None = Field(default=None, description="RabbitMQ, e.g. amqp://user:password@127.0.0.1:5672/")
    callback_timeout: PositiveFloat = Field(default=15.0, le=18.0, description="seconds per callback attempt")
    callback_first_delay: PositiveFloat = Field(default=1.0, description="seconds to the first retry; it doubles from there")
    callback_max_delay: PositiveFloat = Field(default=3600.0, description="seconds between two tries at the most")
    callback_give_up: PositiveFloat = Field(default=259200.0, description="seconds after which a callback is dead")

    original_networks: Networks = Field(
        default=(IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")),
        description="who may call /api/v1/gbm, which has no keys; empty: nobody",
    )
    trusted_proxies: Networks = Field(
        default=(), description="whose X-Forwarded-For is believed there; without one, what was forwarded is refused"
    )

    log_level: str = "INFO"

    @field_validator("amqp_url")
    @classmethod
    def _is_amqp(cls, url: SecretStr | None) -> SecretStr | None:
        # Without the value: it holds a password.
        if url is not None and not re.fullmatch(r"amqps?://[^/].*", url.get_secret_value()):
            raise ValueError("an address is expected like amqp://user:password@127.0.0.1:5672/")
        return url
