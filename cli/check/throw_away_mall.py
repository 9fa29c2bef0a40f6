"""The mall that the check trades as: admitted for it, with a key that is revoked at its end."""

from pydantic import BaseModel, JsonValue

from cli.demo.client import Client, JourneyError, RefusedError
from cli.demo.receiving_mall import Listener

SOURCE = "check"
NAME = "groupbuy check"


class MallSettings(BaseModel):
    name: str


class WebhookSecret(BaseModel):
    webhook_secret: str


class Key(BaseModel):
    key_id: str
    key: str


class RevokedKey(BaseModel):
    key_id: str


class ThrowAwayMall:
    """One mall for all checks, because malls are not deleted; each check has its own key and webhook secret."""

    def __init__(self, admin: Client, listener: Listener) -> None:
        self._admin = admin
        self._listener = listener
        self._path = f"/v1/ops/malls/{SOURCE}"
        self._key_id: str | None = None
        self.key = ""
        self.webhook_secret = ""

    async def admit(self, run: str) -> None:
        """Admits the mall, without an address for callbacks yet.

        Raises:
            JourneyError: it cannot be admitted, or is somebody else's.
        """
        try:
            found = await self._admin.call(MallSettings, "GET", self._path)
        except RefusedError as refused:
            if refused.problem.code != "mall_not_found":
                raise
        else:
            if found.body.name != NAME:
                raise JourneyError(
                    f"the mall {SOURCE} exists and is called {found.body.name}: it is not this check's to change"
                )
        await self.call_back_at(None)
        secret = await self._admin.call(WebhookSecret, "POST", f"{self._path}/webhook_secrets")
        self.webhook_secret = secret.body.webhook_secret
        new: dict[str, JsonValue] = {"name": f"{NAME} {run}", "source": SOURCE, "scopes": ["trade"]}
        key = (await self._admin.call(Key, "POST", "/v1/ops/keys", new)).body
        self.key, self._key_id = key.key, key.key_id

    async def call_back_at(self, url: str | None) -> None:
        await self._admin.call(
            MallSettings,
            "PUT",
            self._path,
            {
                "name": NAME,
                "callback": {"kind": "http", "url": url} if url else None,
                "callback_hosts": [self._listener.name],
                "local": True,
                "request_limit": 100_000,
            },
        )

    async def leave(self) -> None:
        """Revokes the key, and has no further callbacks sent to this process."""
        if self._key_id is not None:
            await self._admin.call(RevokedKey, "DELETE", f"/v1/ops/keys/{self._key_id}")
            await self.call_back_at(None)
