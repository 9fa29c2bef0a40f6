"""The public JSON of malls."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from domain.addresses import RESERVED, url_refusal
from domain.networks import Network
from domain.schemas.callback_settings import Callback, HttpCallback
from domain.types import Name, Schema


def _lowered(hosts: list[str]) -> list[str]:
    return list(dict.fromkeys(host.lower() for host in hosts))


Host = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])$")
]
Hosts = Annotated[list[Host], Field(max_length=100), AfterValidator(_lowered)]


def _not_reserved(prefix: str) -> str:
    if prefix.startswith(RESERVED):
        raise ValueError(f"{RESERVED}… is reserved for the legacy format.")
    return prefix


Prefix = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$"), AfterValidator(_not_reserved)
]
Prefixes = Annotated[list[Prefix], Field(max_length=100)]

REQUEST_LIMIT = 2000


class MallFields(Schema):
    """The fields of a mall that an administrator sets."""

    name: Name
    callback: Callback | None = None
    """where events are sent when an order has no callback of its own"""
    callback_hosts: Hosts = Field(default_factory=list)
    """hosts that callbacks may be sent to, without ports"""
    routing_key_prefixes: Prefixes | None = None
    """what routing keys of callbacks begin with; null: the source and a dot"""
    local: Annotated[bool, Field(strict=True)] = False
    """callbacks may be sent to private addresses"""
    request_limit: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = REQUEST_LIMIT
    """requests per second"""
    legacy_networks: Annotated[list[Network], Field(max_length=100)] = Field(default_factory=list)
    """from where the legacy format, which has no credentials, may act for the mall; empty: from nowhere"""

    @model_validator(mode="after")
    def _callback_is_registered(self) -> Self:
        # The rule of an order's own callback and of every attempt: what it refuses could never be delivered.
        if isinstance(self.callback, HttpCallback) and (refusal := url_refusal(str(self.callback.url), self.callback_hosts)):
            raise ValueError(f"callback.url: {refusal}")
        return self


class Mall(MallFields):
    """A mall, without its secrets."""

    source: str
    webhook_secrets: int
    """how many are valid; two during a rotation"""


class NewWebhookSecret(Schema):
    """A mall's new webhook secret."""

    webhook_secret: str
    """it is not shown again; callbacks are signed with it and with the previous one"""
    valid: int
    """how many secrets are valid now"""
