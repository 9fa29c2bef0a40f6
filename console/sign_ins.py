"""Sign-ins with an OpenID Connect provider, as far as they need none of its packages."""

import hmac
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self

SIGN_IN_WITHIN = timedelta(minutes=10)
"""from the console's page to the provider and back"""


class SingleSignOnError(Exception):
    """The provider did not say who the person is, or its answer is not to be believed."""


class NoRoleError(SingleSignOnError):
    """The provider knows the person, who has no role here."""


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """What the browser keeps, signed, while the person is at the provider."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    after: str
    """the page that was wanted"""
    begun_at: float

    @classmethod
    def begin(cls, redirect_uri: str, after: str, now: datetime) -> Self:
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        return cls(state, nonce, verifier, redirect_uri, after, now.timestamp())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def is_valid(self, state: str, now: datetime) -> bool:
        """Whether this is where the provider leads back to."""
        is_recent = 0 <= now.timestamp() - self.begun_at <= SIGN_IN_WITHIN.total_seconds()
        return is_recent and hmac.compare_digest(state.encode(), self.state.encode())
