"""Encrypts what a process hands to Temporal: arguments, results, messages, details, summaries and failures.

Ids, types and search attributes stay readable: Temporal itself works with them (docs/production.md).
"""

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

KEYS = "GROUPBUY_PAYLOAD_KEYS"
"""the variable, whose form `settings` checks"""
PLAIN = "plain"
"""in the first place, instead of a key: payloads are read, and none is encrypted"""
ENCODING, ENCRYPTED, KEY_ID = "encoding", b"binary/encrypted", "encryption-key-id"
NONCE_BYTES = 12


class UndecipherableError(Exception):
    """A payload was encrypted with a key that this process does not have, or was changed."""


class PayloadEncryption(PayloadCodec):
    """AES-GCM with several keys: the current one encrypts, each decrypts what names it. What is plain is left as it is."""

    def __init__(self, keys: Mapping[str, bytes], current: str | None) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = current

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """Returns what the environment asks for; None: nothing."""
        given = [part.strip() for part in environment.get(KEYS, "").split(",") if part.strip()]
        if not given:
            return None
        keys = {key_id: base64.b64decode(key) for key_id, _, key in (part.partition(":") for part in given if part != PLAIN)}
        return cls(keys, current=None if given[0] == PLAIN else next(iter(keys)))

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        current = self._current
        return list(payloads) if current is None else [self._encrypted(payload, current) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises UndecipherableError."""
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload, key_id: str) -> Payload:
        nonce, name = os.urandom(NONCE_BYTES), key_id.encode()
        data = nonce + self._ciphers[key_id].encrypt(nonce, payload.SerializeToString(), name)
        return Payload(metadata={ENCODING: ENCRYPTED, KEY_ID: name}, data=data)

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get(ENCODING) != ENCRYPTED:
            return payload
        name = payload.metadata.get(KEY_ID, b"")
        cipher = self._ciphers.get(name.decode(errors="replace"))
        if cipher is None:
            raise UndecipherableError(f"{KEYS} has no key {name[:100]!r}")
        try:
            data = cipher.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], name)
        except (InvalidTag, ValueError):  # ValueError: it is too short
            raise UndecipherableError(f"the payload was not encrypted with the key {name[:100]!r}, or was changed") from None
        return Payload.FromString(data)
