"""Notices of changes: every committed change of a setting reaches the caches, and a cache without notices is not used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from api.runtime.cache import Cache
from db.core.connection import transaction
from db.core.listen import CHANGED, REQUEST_COUNTS, Listener, notify_request_counts
from db.settings.keys import save_key
from tests.api.polling import until
from tests.db.conftest import Server
from tests.db.shop import NOW, Shop

LISTENING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'groupbuy notices' AND datname = current_database()"


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[None]:
    task = asyncio.create_task(listener.run())
    try:
        await until_listening(listener)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not listener.is_listening


async def until_listening(listener: Listener, *, expected: bool = True) -> None:
    async def is_listening() -> bool:
        return listener.is_listening

    await until(is_listening, lambda value: value is expected)


class CachedSwitch:
    """One switch, read through a cache; counts the reads of its row."""

    def __init__(self, shop: Shop, cache: Cache) -> None:
        self._shop = shop
        self.cache = cache
        self.reads = 0

    async def get(self) -> str:
        return await self.cache.get("blocked", self._read, lambda _: ["switch/blocked"])

    async def _read(self) -> str:
        self.reads += 1
        return str(await self._shop.value("SELECT value FROM switches WHERE name = 'blocked'"))


@pytest.fixture
async def cache(server: Server) -> AsyncIterator[Cache]:
    cache = Cache(server.database_url)
    async with listening(cache.notices):
        yield cache


@pytest.fixture
def switch(shop: Shop, cache: Cache) -> CachedSwitch:
    return CachedSwitch(shop, cache)


async def test_a_cached_value_is_read_again_only_after_a_change(shop: Shop, switch: CachedSwitch) -> None:
    assert {await switch.get() for _ in range(5)} == {"None"}
    assert switch.reads == 1

    await shop.goods()
    await shop.block()

    found = await until(switch.get, lambda value: value != "None", 1)
    assert "c01" in found
    assert switch.reads == 2


async def test_a_cached_value_expires_without_a_notice(switch: CachedSwitch, monkeypatch: pytest.MonkeyPatch) -> None:
    await switch.get()
    await switch.get()
    assert switch.reads == 1
    monkeypatch.setattr("api.runtime.cache.TTL", 0.0)
    switch.cache.invalidate_all()
    await switch.get()
    await switch.get()
    assert switch.reads == 3


async def test_a_change_of_each_setting_is_notified(shop: Shop, server: Server) -> None:
    received: list[str] = []
    async with listening(Listener(server.database_url, {CHANGED: received.append}, lambda: None)):
        campaign = await shop.campaign()
        await save_key(shop.database, "gb_test", name="ann", source=None, now=NOW)
        await shop.block()
        await shop.execute("UPDATE malls SET local = false")
        await shop.execute("UPDATE api_keys SET last_used_at = $1", NOW)
        await shop.execute("DELETE FROM switches")

        async def notices() -> list[str]:
            return received

        await until(notices, lambda subjects: subjects.count("switch/blocked") == 2, 1)
    kinds = [subject.partition("/")[0] for subject in received]
    assert kinds == ["goods", "campaign", "key", "switch", "mall", "switch"]
    assert f"campaign/{campaign.campaign_id}" in received
    assert "mall/s01" in received


async def test_a_rolled_back_change_is_not_notified(shop: Shop, switch: CachedSwitch, cache: Cache) -> None:
    await switch.get()

    async def change() -> None:
        async with transaction(shop.database) as conn:
            await conn.execute("INSERT INTO switches VALUES ('blocked', '[]', 1, 'tests', $1)", NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await change()
    await until_a_later_notice(shop, cache)
    await switch.get()
    assert switch.reads == 1


async def until_a_later_notice(shop: Shop, cache: Cache) -> None:
    """Notices arrive in order: once a later one has arrived, an earlier one would have."""
    await cache.get("later", shop.goods, lambda _: ["mall"])
    entries = cache._entries
    await shop.execute("UPDATE malls SET name = 'Another name'")

    async def is_dropped() -> bool:
        return "later" not in entries

    await until(is_dropped, bool, 2)


async def test_a_value_that_changes_while_it_is_read_is_not_cached(cache: Cache) -> None:
    values = iter(["old", "new"])

    async def read() -> str:
        value = next(values)
        if value == "old":
            cache.invalidate("switch/blocked")
        return value

    found = [await cache.get("blocked", read, lambda _: ["switch"]) for _ in range(3)]
    assert found == ["old", "new", "new"]


async def test_a_lost_connection_disables_the_cache_until_it_is_back(
    shop: Shop, switch: CachedSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes made while nobody listens are not missed."""
    monkeypatch.setattr("db.core.listen.RECONNECT_AFTER", 0.6)  # long enough to be observed
    listener = switch.cache.notices
    for _ in range(3):
        await switch.get()
        [pid] = [row["pid"] for row in await shop.rows(LISTENING)]
        assert await shop.value("SELECT pg_terminate_backend($1)", pid)
        await shop.execute("DELETE FROM switches")
        await shop.block("s01", f"c{pid}")
        await until_listening(listener, expected=False)
        assert f"c{pid}" in await switch.get()
        await until_listening(listener)
        assert f"c{pid}" in await switch.get()
        reads = switch.reads
        await switch.get()
        assert switch.reads == reads


async def test_a_silent_connection_disables_the_cache(switch: CachedSwitch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that drops every packet shows no end of the connection: only the answers are missing."""
    silent = asyncio.Event()

    async def no_answer(*_: object, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's signature
        silent.set()
        await asyncio.sleep(timeout)
        raise TimeoutError

    listener = switch.cache.notices
    await switch.get()
    with monkeypatch.context() as patched:
        patched.setattr("asyncpg.Connection.fetchval", no_answer)
        await silent.wait()
        await until_listening(listener, expected=False)
    await switch.get()
    assert switch.reads == 2
    await until_listening(listener)


async def test_request_counts_reach_every_process(shop: Shop, server: Server) -> None:
    received: list[str] = []
    async with listening(Listener(server.database_url, {REQUEST_COUNTS: received.append}, lambda: None)):
        await notify_request_counts(shop.database, "p1", {"s01": 7})

        async def notices() -> list[str]:
            return received

        assert await until(notices, bool) == ['["p1", {"s01": 7}]']


async def test_an_unreachable_database_is_retried_without_an_error() -> None:
    listener = Listener("postgresql://postgres@127.0.0.1:1/groupbuy", {}, lambda: None)
    task = asyncio.create_task(listener.run())
    await asyncio.sleep(0)
    assert not listener.is_listening
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
