"""The configuration of the mall, from its environment."""

from pathlib import Path

from pydantic import Field, HttpUrl, PositiveFloat, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError


class Config(BaseSettings):
    """Every variable is `MALL_` and the field's name in capitals."""

    # Hidden, because a validation error would write a mistyped secret to the log.
    model_config = SettingsConfigDict(env_prefix="MALL_", frozen=True, hide_input_in_errors=True)

    port: int = Field(ge=0, le=65535, description="port on 127.0.0.1; 0 takes a free one")
    api_url: HttpUrl = Field(description="base of the platform's HTTP API")
    key: SecretStr = Field(description="the mall's API key")
    webhook_secret: SecretStr = Field(description="whsec_…; two, separated by a space, while one replaces the other")
    state: Path = Field(description="SQLite file of the mall's state")

    amqp_url: SecretStr | None = Field(default=None, description="RabbitMQ; without it, callbacks come over HTTP alone")
    amqp_routing_key: str = Field(default="demo_mall", description="routing key of the callbacks of this mall's orders")
    slow_seconds: PositiveFloat = Field(default=20.0, description="delay of a slow mall: longer than the platform waits")

    @field_validator("webhook_secret")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        secrets = value.get_secret_value().split()
        if not secrets:
            raise ValueError("no secret in it")
        for secret in secrets:
            try:
                Webhook(secret)
            except (ValueError, EmptyWebhookSecretError) as error:
                raise ValueError("not a Standard Webhooks secret (whsec_ and base64)") from error
        return value

    @property
    def webhooks(self) -> tuple[Webhook, ...]:
        return tuple(Webhook(secret) for secret in self.webhook_secret.get_secret_value().split())
