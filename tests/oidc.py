"""A small OpenID Connect provider that runs in the test: discovery, authorization code with PKCE, and signed ID tokens."""

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from embedded.ports import HOST

CLIENT_ID, CLIENT_SECRET = "groupbuy", "a secret"


class OidcProvider:
    """Knows people by their id, and signs in whoever a form names."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.claims: dict[str, dict[str, object]] = {}
        self.key = self.signs_with = RSAKey.generate_key(2048, {"kid": "now", "use": "sig"})
        self._granted: dict[str, dict[str, str]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/.well-known/openid-configuration", self._configuration),
            web.post("/authorize", self._authorize),
            web.post("/token", self._token),
            web.get("/keys", self._keys),
        ]

    async def sign_in(self, address: str, subject: str) -> str:
        """Signs a person in on the page that an application has led to; returns where the provider leads back to."""
        async with (
            aiohttp.ClientSession() as http,
            http.post(address, data={"subject": subject}, allow_redirects=False) as answer,
        ):
            assert answer.status == 302, await answer.text()
            return answer.headers["Location"]

    async def _configuration(self, _request: web.Request) -> web.Response:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return web.json_response({"issuer": self.issuer} | {name: f"{self.issuer}/{path}" for name, path in names.items()})

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        if (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) != (CLIENT_ID, "code", "S256"):
            raise web.HTTPBadRequest
        code = secrets.token_urlsafe()
        self._granted[code] = asked | {"subject": str((await request.post())["subject"])}
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def _token(self, request: web.Request) -> web.Response:
        given = await request.post()
        granted = self._granted.pop(str(given["code"]), None)  # a code is good once
        challenge = base64.urlsafe_b64encode(hashlib.sha256(str(given["code_verifier"]).encode()).digest()).decode().rstrip("=")
        client = aiohttp.BasicAuth.decode(request.headers["Authorization"])
        if (
            granted is None
            or granted["code_challenge"] != challenge
            or granted["redirect_uri"] != given["redirect_uri"]
            or (client.login, client.password) != (CLIENT_ID, CLIENT_SECRET)
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        own = {"iss": self.issuer, "aud": CLIENT_ID, "sub": granted["subject"], "iat": now, "exp": now + 300}
        claims = own | {"nonce": granted["nonce"]} | self.claims.get(granted["subject"], {})
        token = jwt.encode({"alg": "RS256", "kid": "now"}, claims, self.signs_with)
        return web.json_response({"access_token": "none", "token_type": "Bearer", "expires_in": 300, "id_token": token})

    async def _keys(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})


@asynccontextmanager
async def running_provider() -> AsyncIterator[OidcProvider]:
    app = web.Application()
    runner = web.AppRunner(app)
    provider = OidcProvider("")
    app.add_routes(provider.routes())
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    provider.issuer = f"http://{HOST}:{runner.addresses[0][1]}"
    yield provider
    await runner.cleanup()
