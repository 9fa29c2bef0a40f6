"""What an OpenID Connect provider says is believed where it was said for this sign-in; its claim gives the highest role."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey

from console.roles import Role
from console.sign_ins import SIGN_IN_WITHIN, NoRoleError, PendingSignIn, SingleSignOnError
from console.single_sign_on import OidcSettings, Person, SingleSignOn, person_of
from embedded.ports import HOST, free_port
from tests.oidc import CLIENT_ID, CLIENT_SECRET, OidcProvider, running_provider

BACK = "http://127.0.0.1:9/console/sign-in/provider/back"
ROLES = {"viewer": "staff", "support": "support", "operator": "campaigns", "admin": "platform"}
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def provider() -> AsyncIterator[OidcProvider]:
    async with running_provider() as running:
        yield running


def settings(issuer: str, **changes: object) -> OidcSettings:
    fields = {
        "issuer": issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scope": "openid profile email",
        "roles_claim": "groups",
        "roles": ROLES,
    }
    return OidcSettings.model_validate(fields | changes)


async def code_of(provider: OidcProvider, sign_on: SingleSignOn, pending: PendingSignIn, subject: str) -> str:
    back = urlsplit(await provider.sign_in(await sign_on.address(pending), subject))
    query = parse_qs(back.query)
    assert query["state"] == [pending.state]
    return query["code"][0]


async def test_a_person_signs_in_with_the_highest_role(provider: OidcProvider) -> None:
    provider.claims["ann-1"] = {"preferred_username": "ann", "groups": ["staff", "campaigns", "others"]}
    sign_on, pending = SingleSignOn(settings(provider.issuer)), PendingSignIn.begin(BACK, "/console/", NOW)
    code = await code_of(provider, sign_on, pending, "ann-1")
    assert await sign_on.person(pending, code) == Person("ann-1", "ann", Role.OPERATOR)
    with pytest.raises(SingleSignOnError):
        await sign_on.person(pending, code)  # a code is good once


@pytest.mark.parametrize("changed", ["nonce", "verifier"])
async def test_an_answer_to_another_sign_in_is_not_believed(provider: OidcProvider, changed: str) -> None:
    provider.claims["ann-2"] = {"groups": ["staff"]}
    sign_on, pending = SingleSignOn(settings(provider.issuer)), PendingSignIn.begin(BACK, "/console/", NOW)
    code = await code_of(provider, sign_on, pending, "ann-2")
    other = replace(pending, **{changed: getattr(PendingSignIn.begin(BACK, "", NOW), changed)})
    with pytest.raises(SingleSignOnError):
        await sign_on.person(other, code)


async def test_another_provider_is_not_believed(provider: OidcProvider) -> None:
    pending = PendingSignIn.begin(BACK, "/console/", NOW)
    for issuer in (f"{provider.issuer}/", f"http://{HOST}:{free_port()}"):
        with pytest.raises(SingleSignOnError):
            await SingleSignOn(settings(issuer)).address(pending)


FORGED: list[dict[str, object]] = [
    {"aud": "another"},
    {"iss": "https://another.example"},
    {"exp": 1_700_000_000},
    {"nonce": "another"},
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: next(iter(forged)))
async def test_a_token_for_somebody_else_is_not_believed(provider: OidcProvider, forged: dict[str, object]) -> None:
    provider.claims["ann-3"] = {"groups": ["staff"], **forged}
    sign_on, pending = SingleSignOn(settings(provider.issuer)), PendingSignIn.begin(BACK, "/console/", NOW)
    code = await code_of(provider, sign_on, pending, "ann-3")
    with pytest.raises(SingleSignOnError):
        await sign_on.person(pending, code)


async def test_a_token_that_the_provider_has_not_signed_is_not_believed(provider: OidcProvider) -> None:
    provider.claims["ann-4"] = {"groups": ["staff"]}
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "now"})
    sign_on, pending = SingleSignOn(settings(provider.issuer)), PendingSignIn.begin(BACK, "/console/", NOW)
    code = await code_of(provider, sign_on, pending, "ann-4")
    with pytest.raises(SingleSignOnError):
        await sign_on.person(pending, code)


@pytest.mark.parametrize(
    ("claims", "person"),
    [
        ({"groups": ["platform"], "email": "ann@example.com"}, Person("7", "ann@example.com", Role.ADMIN)),
        ({"groups": "staff support", "name": "Ann\u202e\n"}, Person("7", "Ann", Role.SUPPORT)),
        ({"groups": "staff"}, Person("7", "7", Role.VIEWER)),
        ({"groups": ["viewer", "admin"]}, None),
        ({"groups": {"staff": True}}, None),
        ({}, None),
    ],
)
def test_the_claim_gives_the_role(claims: Mapping[str, object], person: Person | None) -> None:
    if person is None:
        with pytest.raises(NoRoleError):
            person_of({"sub": "7", **claims}, settings("https://id.example"))
    else:
        assert person_of({"sub": "7", **claims}, settings("https://id.example")) == person


def test_a_role_that_is_left_out_nobody_gets() -> None:
    with pytest.raises(NoRoleError):
        person_of({"sub": "7", "groups": ["admin"]}, settings("https://id.example", roles={"viewer": "staff"}))


def test_a_sign_in_is_waited_for_a_few_minutes() -> None:
    pending = PendingSignIn.begin(BACK, "/console/", NOW)
    assert pending.is_valid(pending.state, NOW + SIGN_IN_WITHIN)
    assert not pending.is_valid(pending.state, NOW + SIGN_IN_WITHIN + timedelta(seconds=1))
    assert not pending.is_valid("another", NOW)
