"""What keys grant, as an API process sees it: cached, unknown and used ones."""

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import timedelta

import pytest

from api.runtime.api_keys import ApiKeys
from api.runtime.cache import Cache
from db.core.connection import Database
from db.settings.keys import KeyAccess, MallAccess, list_keys, new_key, read_accesses, revoke_key, save_key
from db.settings.malls import put_mall
from domain.errors import Refusal
from domain.messages.acts import command_line_author as author
from domain.schemas.malls import MallFields
from tests.api.polling import until
from tests.db.conftest import Server
from tests.db.core.test_listen import listening
from tests.db.shop import NOW, SOURCE, Shop

ADDRESS, ELSEWHERE = "192.0.2.1", "192.0.2.2"
LIMIT = 5
"""failures per second of one address"""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The keys of each statement that looks keys up."""
    made: list[list[str]] = []

    async def record(database: Database, keys: Collection[str]) -> dict[str, KeyAccess]:
        made.append(sorted(keys))
        return await read_accesses(database, keys)

    monkeypatch.setattr("db.settings.keys.read_accesses", record)
    monkeypatch.setattr("api.runtime.api_keys.read_accesses", record)
    return made


@pytest.fixture
async def mall_key(shop: Shop) -> str:
    key = new_key(for_operations=False)
    await save_key(shop.database, key, name="mall", source=SOURCE, now=NOW)
    return key


@pytest.fixture
async def keys(shop: Shop, server: Server) -> AsyncIterator[ApiKeys]:
    """The keys as an API process sees them. A test that counts reads names it after `mall_key`: no notice is under way then."""
    cache = Cache(server.database_url)
    async with listening(cache.notices):
        yield ApiKeys(shop.database, cache, failure_limit=LIMIT)


async def answer(keys: ApiKeys, key: str, address: str = ADDRESS) -> str:
    """The source that the key grants, or the code of its refusal."""
    try:
        access = await keys.access(key, address)
    except Refusal as refusal:
        return refusal.code
    assert isinstance(access, MallAccess)
    return access.source


async def test_keys_are_cached_until_they_change(shop: Shop, mall_key: str, keys: ApiKeys, reads: list[list[str]]) -> None:
    async def limit() -> int:
        access = await keys.access(mall_key, ADDRESS)
        assert isinstance(access, MallAccess)
        return access.request_limit

    assert {await limit() for _ in range(3)} == {2000}
    assert reads == [[mall_key]]
    await put_mall(shop.database, SOURCE, MallFields(name="Test mall", request_limit=5), by=author("root"), now=NOW)
    await until(limit, lambda found: found == 5, 1)

    [key] = await list_keys(shop.database, None, None, 10)
    await revoke_key(shop.database, key.key_id, by=author("root"), now=NOW)
    await until(lambda: answer(keys, mall_key, ELSEWHERE), lambda code: code == "unauthorized", 1)


async def test_an_unknown_key_is_looked_up_once_until_a_setting_changes(
    shop: Shop, keys: ApiKeys, reads: list[list[str]]
) -> None:
    unknown = new_key(for_operations=False)
    for text in ("", "unknown", f"{unknown[:-1]}-", unknown, unknown):
        assert await answer(keys, text) == "unauthorized"
    assert reads == [[unknown]]
    await save_key(shop.database, unknown, name="new", source=SOURCE, now=NOW)
    await until(lambda: answer(keys, unknown, ELSEWHERE), lambda found: found == SOURCE, 1)


async def test_failures_are_limited_by_address_and_refuse_no_valid_key(
    mall_key: str, keys: ApiKeys, reads: list[list[str]]
) -> None:
    flood = [new_key(for_operations=False) for _ in range(100)]
    codes = [await answer(keys, key) for key in flood[: LIMIT + 1]]
    assert codes == ["unauthorized"] * LIMIT + ["rate_limited"]
    assert await answer(keys, "", "2001:db8::1") == "unauthorized"
    reads.clear()

    answers = await asyncio.gather(*(answer(keys, key) for key in [*flood, mall_key]))
    assert answers[-1] == SOURCE
    assert answers.count("rate_limited") >= 100 - LIMIT
    assert len(reads) == 1  # whatever the number of keys, one statement
    assert await answer(keys, new_key(for_operations=False), ELSEWHERE) == "unauthorized"
    # An IPv6 subscriber has as many addresses as it likes.
    for number in range(2, LIMIT + 1):
        assert await answer(keys, "", f"2001:db8::{number}") == "unauthorized"
    assert await answer(keys, "", "2001:db8::ffff:1") == "rate_limited"
    assert await answer(keys, "", "2001:db8:0:1::1") == "unauthorized"


async def test_the_last_use_of_a_key_is_stored_once_a_minute(shop: Shop, keys: ApiKeys, mall_key: str) -> None:
    await save_key(shop.database, new_key(for_operations=True), name="ops", source=None, now=NOW)

    async def stored() -> list[object]:
        return [row["last_used_at"] for row in await shop.rows("SELECT last_used_at FROM api_keys ORDER BY name DESC")]

    await keys.access(mall_key, ADDRESS)
    await keys.record_uses()
    never, first = await stored()
    assert never is None
    assert first is not None
    await asyncio.gather(*(keys.access(mall_key, ADDRESS) for _ in range(5)))
    await keys.record_uses()
    assert await stored() == [None, first]
    await keys.record_uses(timedelta())
    assert (await stored())[1] > first  # type: ignore[operator]
