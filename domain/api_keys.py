"""The form of API keys: whose they are, a secret, and a checksum, which tells most of what is no key without a look-up."""

import re
import zlib
from string import ascii_lowercase, ascii_uppercase, digits

ALPHABET = digits + ascii_uppercase + ascii_lowercase
SECRET_LENGTH = 30
"""characters of the alphabet: 178 bits"""
CHECKSUM_LENGTH = 6
"""characters, which hold 32 bits"""
FORM = re.compile(rf"gb_(?:mall|ops)_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}")


def make_key(secret: str, *, for_operations: bool) -> str:
    """Returns the key with this secret; its prefix says whether it is for operations or for a mall."""
    body = f"gb_{'ops' if for_operations else 'mall'}_{secret}"
    return body + _checksum(body)


def key_secret(entropy: bytes) -> str:
    """Returns the secret of a key from these bytes, 32 or more."""
    rest, characters = int.from_bytes(entropy), ""
    for _ in range(SECRET_LENGTH):
        rest, digit = divmod(rest, len(ALPHABET))
        characters += ALPHABET[digit]
    return characters


def is_well_formed(key: str) -> bool:
    """Whether this is a key that may have been given out: it has the form, and its checksum is right."""
    return FORM.fullmatch(key) is not None and _checksum(key[:-CHECKSUM_LENGTH]) == key[-CHECKSUM_LENGTH:]


def _checksum(body: str) -> str:
    """The CRC-32 in base 62. It keeps no secret: whoever reads this can make keys that are well-formed."""
    rest, characters = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(ALPHABET))
        characters = ALPHABET[digit] + characters
    return characters
