"""Malls and keys: who may call what (design.md section 8)."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from domain.addresses import url_refusal
from domain.schemas.callback_settings import Callback, HttpCallback
from domain.types import Name, Schema


def _lowered(hosts: list[str]) -> list[str]:
    return list(dict.fromkeys(host.lower() for host in hosts))


Host = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])$")
]
Hosts = Annotated[list[Host], Field(max_length=100), AfterValidator(_lowered)]

REQUEST_LIMIT = 2000


class MallFields(Schema):
    """What an administrator sets of a mall."""

    name: Name
    callback: Callback | None = None
    """where events go when an order names no callback of its own"""
    callback_hosts: Hosts = Field(default_factory=list)
    """hosts that a callback may go to, without ports"""
    local: Annotated[bool, Field(strict=True)] = False
    """its callbacks may go to private addresses"""
    request_limit: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = REQUEST_LIMIT
    """requests a second"""

    @model_validator(mode="after")
    def _callback_is_registered(self) -> Self:
        # By the same rule as an order's own callback: what it refuses would be called by nobody.
        if isinstance(self.callback, HttpCallback) and (refused := url_refusal(str(self.callback.url), self.callback_hosts)):
            raise ValueError(f"callback.url: {refused}")
        return self


class Mall(MallFields):
    """A mall as administrators see it: never its secrets."""

    source: str
    webhook_secrets: int
    """how many are valid: two during rotation"""


class NewWebhookSecret(Schema):
    webhook_secret: str
    """shown this once; signatures carry it from now on, beside the one before"""
    valid: int
