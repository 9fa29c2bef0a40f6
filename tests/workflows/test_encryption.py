"""What is handed to Temporal when payloads are encrypted, and who can read it."""

import base64
import secrets
from itertools import pairwise

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError

from workflows.client import data_converter_of
from workflows.encryption import UndecipherableError

ONE, TWO = (f"{name}:{base64.b64encode(secrets.token_bytes(32)).decode()}" for name in ("one", "two"))


def converter(*keys: str) -> DataConverter:
    return data_converter_of({"GROUPBUY_PAYLOAD_KEYS": ",".join(keys)})


async def test_what_is_encrypted_is_read_with_the_same_key_only() -> None:
    [payload] = await converter(ONE).encode([{"user_id": "ana"}])
    assert b"ana" not in payload.SerializeToString()
    assert payload.metadata["encryption-key-id"] == b"one"
    assert await converter(ONE).decode([payload]) == [{"user_id": "ana"}]
    other = "one:" + base64.b64encode(secrets.token_bytes(32)).decode()
    for keys in (TWO, other):
        with pytest.raises(UndecipherableError):
            await converter(keys).decode([payload])


async def test_a_changed_payload_is_refused() -> None:
    [payload] = await converter(ONE, TWO).encode(["ana"])
    flipped = payload.data[:-1] + bytes([payload.data[-1] ^ 1])
    for data, key in ((flipped, b"one"), (payload.data[:5], b"one"), (payload.data, b"two")):
        payload.data, payload.metadata["encryption-key-id"] = data, key
        with pytest.raises(UndecipherableError):
            await converter(ONE, TWO).decode([payload])


async def test_keys_are_replaced_and_encryption_is_begun_without_a_gap() -> None:
    """Each step is read by the processes of the step before and of the one after, which run beside each other."""
    steps = [(f"plain,{ONE}",), (ONE,), (ONE, TWO), (TWO, ONE), ("plain", TWO, ONE)]
    for earlier, later in pairwise(steps):
        for writes, reads in ((earlier, later), (later, earlier)):
            [payload] = await converter(*writes).encode(["ana"])
            assert await converter(*reads).decode([payload]) == ["ana"]


async def test_what_people_send_unencrypted_is_taken() -> None:
    [plain] = await converter().encode([{"operator": "ann"}])
    assert await converter(ONE).decode([plain]) == [{"operator": "ann"}]


async def test_the_texts_of_failures_are_encrypted_too() -> None:
    failure = Failure()
    await converter(ONE).encode_failure(ApplicationError("ana has a seat", {"user_id": "ana"}, type="user_limit"), failure)
    assert b"ana" not in failure.SerializeToString()
    assert failure.application_failure_info.type == "user_limit"
    read = await converter(TWO, ONE).decode_failure(failure)
    assert str(read).endswith("ana has a seat")
