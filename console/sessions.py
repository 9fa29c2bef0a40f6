"""Sessions: a signed cookie that names the key a person signed in with, which is looked up again; or the person whom an OpenID
Connect provider has named. Nothing else is kept."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

IDLE = timedelta(minutes=30)
"""after which an unused session has expired"""
RENEW_AFTER = timedelta(minutes=1)
"""a cookie is written anew when it is older than this"""


@dataclass(frozen=True, slots=True)
class Session:
    session_id: str
    key_id: str
    """of a person whom a provider has named: `oidc:` and the provider's id"""
    signed_in_at: float
    seen_at: float
    """seconds since 1970; the latest request that renewed the cookie"""
    name: str = ""
    role: str = ""
    """of a person whom a provider has named; a key's are looked up"""

    @classmethod
    def begin(cls, key_id: str, now: datetime, name: str = "", role: str = "") -> Self:
        return cls(secrets.token_urlsafe(16), key_id, now.timestamp(), now.timestamp(), name, role)

    def has_expired(self, now: datetime, longest: timedelta) -> bool:
        """Returns whether it was not used for too long, or is older than `longest`, used or not."""
        at = now.timestamp()
        return at - self.seen_at > IDLE.total_seconds() or at - self.signed_in_at > longest.total_seconds()

    def renewed(self, now: datetime) -> Self | None:
        """Returns the session as it is to be written now; None while the cookie is recent enough."""
        is_recent = now.timestamp() - self.seen_at < RENEW_AFTER.total_seconds()
        return None if is_recent else replace(self, seen_at=now.timestamp())


class Signer:
    """Signs what the browser keeps, each purpose apart, so that one cookie is never taken for another."""

    def __init__(self, secret: str, longest: timedelta) -> None:
        self._secret = secret.encode()
        self._longest = longest

    def sign(self, purpose: str, content: Mapping[str, object]) -> str:
        payload = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
        return f"{payload}.{self._signature(purpose, payload)}"

    def read(self, purpose: str, signed: str | None) -> dict[str, Any] | None:
        """Returns the content; None where there is none that was signed here for this purpose."""
        payload, _, signature = (signed or "").partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(purpose, payload).encode()):
            return None
        try:
            content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload))
        except (binascii.Error, ValueError):
            return None
        return content

    def write_session(self, session: Session) -> str:
        return self.sign("session", asdict(session))

    def read_session(self, cookie: str | None, now: datetime) -> Session | None:
        """Returns the session of a cookie, unless it has expired."""
        content = self.read("session", cookie)
        session = Session(**content) if content else None
        return None if session is None or session.has_expired(now, self._longest) else session

    def form_token(self, session: Session) -> str:
        """What every form of a session carries: a page of another site does not know it."""
        return self._signature("form", session.session_id)

    def secret_of(self, purpose: str, act_id: str) -> bytes:
        """Returns the 32 bytes of a secret that a form makes: sent again, it makes the same, so a double click loses none.

        Only who has both the form and the console's secret can make it; the audit has a digest of the act's id.
        """
        return hmac.digest(self._secret, f"{purpose} {act_id}".encode(), "sha256")

    def _signature(self, purpose: str, payload: str) -> str:
        return hmac.new(self._secret, f"{purpose} {payload}".encode(), hashlib.sha256).hexdigest()
