"""The public JSON of callback addresses."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl

from domain.types import Schema


class HttpCallback(Schema):
    """Events are sent as signed HTTP requests to a URL."""

    kind: Literal["http"]
    url: Annotated[HttpUrl, Field(max_length=2048)]


class AmqpCallback(Schema):
    """Events are published to RabbitMQ with a routing key."""

    kind: Literal["amqp"]
    routing_key: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._-]+$")]


Callback = Annotated[HttpCallback | AmqpCallback, Field(discriminator="kind")]
"""The address that the events of an order are sent to."""
