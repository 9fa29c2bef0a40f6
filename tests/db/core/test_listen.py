"""Notices: a change is heard, whoever makes it; and whoever cannot hear knows it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from api.runtime.cache import Cache
from db.core.connection import transaction
from db.core.listen import COUNTED, Listener, tell_counts
from db.settings.keys import save_key
from tests.api.polling import until
from tests.db.conftest import Server
from tests.db.shop import NOW, Shop

LISTENING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'groupbuy notices' AND datname = current_database()"


@asynccontextmanager
async def listening(notices: Listener) -> AsyncIterator[None]:
    task = asyncio.create_task(notices.run())
    try:
        await until_told(notices)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not notices.are_told


async def until_told(notices: Listener, *, so: bool = True, within: float = 5) -> None:
    async def look() -> bool:
        return notices.are_told

    await until(look, lambda told: told is so, within)


class Memory:
    """What is remembered of one switch, and how often it was read."""

    def __init__(self, shop: Shop, remembered: Cache) -> None:
        self._shop = shop
        self._remembered = remembered
        self.reads = 0

    async def read(self) -> str:
        self.reads += 1
        return str(await self._shop.value("SELECT value FROM switches WHERE name = 'blocked'"))

    async def recall(self) -> str:
        return await self._remembered.get("blocked", self.read, lambda _: ["switch/blocked"])


@pytest.fixture
async def remembered(server: Server) -> AsyncIterator[Cache]:
    remembered = Cache(server.database_url)
    async with listening(remembered.notices):
        yield remembered


@pytest.fixture
def memory(shop: Shop, remembered: Cache) -> Memory:
    return Memory(shop, remembered)


async def test_what_is_remembered_is_read_once_until_it_is_changed(shop: Shop, memory: Memory) -> None:
    assert {await memory.recall() for _ in range(5)} == {"None"}
    assert memory.reads == 1

    await shop.goods()
    await shop.block()

    found = await until(memory.recall, lambda value: value != "None", 1)
    assert "c01" in found
    assert memory.reads == 2


async def test_what_nobody_told_is_seen_after_a_while(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    await memory.recall()
    await memory.recall()
    assert memory.reads == 1
    monkeypatch.setattr("api.runtime.cache.TTL", 0.0)
    memory._remembered.invalidate_all()
    await memory.recall()
    await memory.recall()
    assert memory.reads == 3


async def test_each_setting_says_what_was_changed(shop: Shop, server: Server) -> None:
    heard: list[str] = []
    notices = Listener(server.database_url, {"groupbuy_changed": heard.append}, lambda: None)
    async with listening(notices):
        campaign = await shop.campaign()
        await save_key(shop.database, "gb_test", name="ann", source=None, now=NOW)
        await shop.block()
        await shop.execute("UPDATE malls SET local = false")
        await shop.execute("UPDATE api_keys SET last_used_at = $1", NOW)
        await shop.execute("DELETE FROM switches")

        async def look() -> list[str]:
            return heard

        await until(look, lambda all_of_them: all_of_them.count("switch/blocked") == 2, 1)
    kinds = [subject.partition("/")[0] for subject in heard]
    assert kinds == ["goods", "campaign", "key", "switch", "mall", "switch"]
    assert f"campaign/{campaign.campaign_id}" in heard
    assert "mall/s01" in heard


async def test_a_change_that_is_rolled_back_says_nothing(shop: Shop, memory: Memory, remembered: Cache) -> None:
    await memory.recall()

    async def change_of_mind() -> None:
        async with transaction(shop.database) as conn:
            await conn.execute("INSERT INTO switches VALUES ('blocked', '[]', 1, 'tests', $1)", NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await change_of_mind()
    await tell_a_round(shop, remembered)
    await memory.recall()
    assert memory.reads == 1


async def tell_a_round(shop: Shop, remembered: Cache) -> None:
    """Until a later change was heard, so that an earlier one would have been, too."""
    await remembered.get("later", shop.goods, lambda _: ["mall"])
    kept = remembered._entries
    await shop.execute("UPDATE malls SET name = 'Another name'")

    async def look() -> bool:
        return "later" not in kept

    await until(look, bool, 2)


async def test_what_is_changed_while_it_is_read_is_not_remembered(remembered: Cache) -> None:
    values = iter(["old", "new"])

    async def read() -> str:
        value = next(values)
        if value == "old":
            remembered.invalidate("switch/blocked")
        return value

    found = [await remembered.get("blocked", read, lambda _: ["switch"]) for _ in range(3)]
    assert found == ["old", "new", "new"]


async def test_a_lost_connection_is_noticed_and_nothing_is_believed_until_it_is_back(
    shop: Shop, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as nobody hears, everything is read; what was changed meanwhile is not missed."""
    monkeypatch.setattr("db.core.listen.AGAIN_AFTER", 0.6)  # long enough to be seen
    remembered = memory._remembered
    notices = remembered.notices
    for _ in range(3):
        await memory.recall()
        [pid] = [row["pid"] for row in await shop.rows(LISTENING)]
        assert await shop.value("SELECT pg_terminate_backend($1)", pid)
        await shop.execute("DELETE FROM switches")
        await shop.block("s01", f"c{pid}")
        await until_told(notices, so=False, within=2)
        assert f"c{pid}" in await memory.recall()
        await until_told(notices)
        assert f"c{pid}" in await memory.recall()
        read = memory.reads
        await memory.recall()
        assert memory.reads == read


async def test_a_connection_that_falls_silent_is_noticed(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No end is seen where a network drops every packet: then no answer comes."""
    silent = asyncio.Event()

    async def no_answer(*_: object, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's word
        silent.set()
        await asyncio.sleep(timeout)
        raise TimeoutError

    notices = memory._remembered.notices
    await memory.recall()
    with monkeypatch.context() as patched:
        patched.setattr("asyncpg.Connection.fetchval", no_answer)
        await silent.wait()
        await until_told(notices, so=False, within=2)
    await memory.recall()
    assert memory.reads == 2
    await until_told(notices)


async def test_counts_are_told_to_every_process(shop: Shop, server: Server) -> None:
    heard: list[str] = []
    async with listening(Listener(server.database_url, {COUNTED: heard.append}, lambda: None)):
        await tell_counts(shop.database, "p1", {"s01": 7})

        async def look() -> list[str]:
            return heard

        assert await until(look, bool, 2) == ['["p1", {"s01": 7}]']


async def test_a_database_that_is_away_tells_nothing() -> None:
    notices = Listener("postgresql://postgres@127.0.0.1:1/groupbuy", {}, lambda: None)
    task = asyncio.create_task(notices.run())
    await asyncio.sleep(0)
    assert not notices.are_told
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
