"""What malls and operators see of a trade: order, team, payment, quote (design.md section 8)."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl

from domain.types import Schema


class HttpCallback(Schema):
    kind: Literal["http"]
    url: Annotated[HttpUrl, Field(max_length=2048)]


class AmqpCallback(Schema):
    kind: Literal["amqp"]
    routing_key: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._-]+$")]


Callback = Annotated[HttpCallback | AmqpCallback, Field(discriminator="kind")]
"""Where the events of an order go."""
