"""Signing in with an OpenID Connect provider: the authorization code flow with PKCE. The role comes from a claim.

Needs the packages of the extra `oidc`, which are imported when a provider is configured.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from httpx2 import HTTPError, Timeout
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from console.roles import Role
from console.sign_ins import NoRoleError, PendingSignIn, SingleSignOnError
from domain.types import Schema

ANSWER_WITHIN = Timeout(10.0)
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""none of them needs the client's secret: only the provider can have signed"""
LEEWAY = 60
"""seconds that the provider's clock may differ"""
MAX_NAME = 128


class OidcSettings(Schema):
    """How the console is registered with a provider."""

    issuer: str
    client_id: str
    client_secret: str
    scope: str
    roles_claim: str
    roles: Mapping[str, str]
    """what the claim has for each role, by the role's name"""


@dataclass(frozen=True, slots=True)
class Person:
    """Who has signed in."""

    subject: str
    """the provider's id of the person, which never changes"""
    name: str
    role: Role


class SingleSignOn:
    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings

    async def address(self, pending: PendingSignIn) -> str:
        """Returns the page of the provider where the person signs in.

        Raises:
            SingleSignOnError: the provider does not answer.
        """
        async with self._client(pending) as client:
            provider = await self._provider(client)
            address, _ = client.create_authorization_url(
                provider["authorization_endpoint"], state=pending.state, nonce=pending.nonce, code_verifier=pending.verifier
            )
            return str(address)

    async def person(self, pending: PendingSignIn, code: str) -> Person:
        """Returns who the provider says has signed in.

        Raises:
            NoRoleError: the claim names no role.
            SingleSignOnError: there is no answer, or one that was not made for this sign-in.
        """
        async with self._client(pending) as client:
            provider = await self._provider(client)
            try:
                token = await client.fetch_token(provider["token_endpoint"], code=code, code_verifier=pending.verifier)
                keys = (await client.request("GET", provider["jwks_uri"], withhold_token=True)).raise_for_status().json()
                decoded = jwt.decode(token["id_token"], KeySet.import_key_set(keys), algorithms=ALGORITHMS)
                claims = CodeIDToken(
                    decoded.claims,
                    decoded.header,
                    options={"iss": {"value": self._settings.issuer}, "aud": {"value": self._settings.client_id}},
                    params={"nonce": pending.nonce, "client_id": self._settings.client_id},
                )
                claims.validate(leeway=LEEWAY)
            except (OAuthError, HTTPError, JoseError, KeyError, ValueError) as exc:
                raise SingleSignOnError(f"{type(exc).__name__}: {exc}") from exc
        return person_of(claims, self._settings)

    def _client(self, pending: PendingSignIn) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            client_id=self._settings.client_id,
            client_secret=self._settings.client_secret,
            scope=self._settings.scope,
            redirect_uri=pending.redirect_uri,
            code_challenge_method="S256",
            timeout=ANSWER_WITHIN,
        )

    async def _provider(self, client: AsyncOAuth2Client) -> dict[str, Any]:
        """Returns where the provider has what, which it publishes under its own name."""
        issuer = self._settings.issuer
        try:
            answer = await client.request("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", withhold_token=True)
            provider: dict[str, Any] = answer.raise_for_status().json()
        except (HTTPError, ValueError) as exc:
            raise SingleSignOnError(f"{type(exc).__name__}: {exc}") from exc
        if provider.get("issuer") != issuer:
            raise SingleSignOnError(f"the provider says that it is {provider.get('issuer')}")
        return provider


def person_of(claims: Mapping[str, Any], settings: OidcSettings) -> Person:
    """Returns the person of an ID token's claims, with the highest role that the claim names.

    Raises:
        NoRoleError: it names none.
    """
    names = (claims.get("preferred_username"), claims.get("email"), claims.get("name"), claims["sub"])
    name = next(str(each) for each in names if each)
    shown = "".join(each for each in name if each.isprintable())[:MAX_NAME]
    given = _values(claims.get(settings.roles_claim))
    role = max((Role[name.upper()] for name, value in settings.roles.items() if value in given), default=None)
    if role is None:
        raise NoRoleError(f"{shown}: {settings.roles_claim} is {sorted(given)}")
    return Person(str(claims["sub"]), shown, role)


def _values(claim: object) -> Collection[str]:
    """A claim with several values is a list, with some providers a text with spaces."""
    match claim:
        case str():
            return {claim, *claim.split()}
        case list():
            return {str(each) for each in claim}
    return set()
