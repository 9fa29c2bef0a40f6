"""Connections that break: the call that notices fails as infrastructure, and the next one works."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from db.core.connection import INFRASTRUCTURE_FAILURES, Database, connection, fetch_one, transaction
from domain.messages.orders import HeldSeat
from tests.db.conftest import Server
from tests.db.shop import Shop

WRITE = "INSERT INTO goods (goods_id, name, original_price) VALUES ('g', 'Book', 1)"


@pytest.fixture
async def doomed(server: Server) -> AsyncIterator[Database]:
    """A pool of two whose connections will be cut; the shop's own stay."""
    database = Database(server.database_url, size=2)
    yield database
    await database.close()


async def cut(shop: Shop, *pids: int) -> None:
    """Ends these connections on the server, as a failover does."""
    for pid in pids:
        assert await shop.value("SELECT pg_terminate_backend($1)", pid)


async def test_the_next_calls_after_a_cut_work(shop: Shop, doomed: Database) -> None:
    campaign = await shop.campaign()
    for _ in range(5):
        noticed: dict[int, asyncio.Event] = {}
        async with AsyncExitStack() as all_of_them:
            for _ in range(2):
                conn = await all_of_them.enter_async_context(connection(doomed))
                noticed[conn.get_server_pid()] = event = asyncio.Event()
                conn.add_termination_listener(lambda _, event=event: event.set())

        await cut(shop, *noticed)
        await asyncio.gather(*(event.wait() for event in noticed.values()))

        await shop.race(*(Shop(doomed).lock(shop.opener(campaign)) for _ in range(6)))


async def test_a_cut_within_a_transaction_is_an_infrastructure_failure_and_leaves_nothing(shop: Shop, doomed: Database) -> None:
    async def write() -> None:
        async with transaction(doomed) as conn:
            await conn.execute(WRITE)
            await cut(shop, conn.get_server_pid())
            await conn.execute("SELECT 1")

    with pytest.raises(INFRASTRUCTURE_FAILURES):
        await write()

    assert await shop.value("SELECT count(*) FROM goods") == 0
    async with transaction(doomed) as conn:
        await conn.execute(WRITE)


async def test_a_cut_while_a_seat_is_waited_for_is_an_infrastructure_failure(shop: Shop, doomed: Database) -> None:
    (opener,) = await shop.team(await shop.campaign())
    joiner = shop.joiner(opener)
    async with transaction(shop.database) as holding:
        await holding.execute("SELECT FROM teams FOR UPDATE")
        joining: asyncio.Task[HeldSeat] = asyncio.create_task(Shop(doomed).lock(joiner))
        await shop.until_waiting(1)
        await cut(shop, await shop.value("SELECT pid FROM pg_locks WHERE NOT granted"))
        with pytest.raises(INFRASTRUCTURE_FAILURES):
            await joining

    assert (await Shop(doomed).lock(joiner)).out_trade_no == joiner.number
    assert (await shop.team_row(opener))["lock_count"] == 2


async def test_a_cancelled_call_gives_its_connection_back_and_its_repeat_finds_what_became_of_it(
    shop: Shop, server: Server
) -> None:
    """The statement of who was cancelled may still be carried out on the server: the outcome is open, and taken once."""
    (opener,) = await shop.team(await shop.campaign(target_count=9))
    joiners = [shop.joiner(opener) for _ in range(5)]
    only_one = Database(server.database_url, size=1)
    try:
        for joiner in joiners:
            async with transaction(shop.database) as holding:
                await holding.execute("SELECT FROM teams FOR UPDATE")
                joining = asyncio.create_task(Shop(only_one).lock(joiner))
                await shop.until_waiting(1)
                joining.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await joining
        for joiner in joiners:
            assert (await Shop(only_one).lock(joiner)).out_trade_no == joiner.number
    finally:
        await only_one.close()
    assert (await shop.team_row(opener))["lock_count"] == 6


async def test_a_transaction_rolls_back_on_an_exception(database: Database) -> None:
    async def write() -> None:
        async with transaction(database) as conn:
            await conn.execute(WRITE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write()

    async with connection(database) as conn:
        assert await conn.fetch("SELECT * FROM goods") == []
        with pytest.raises(LookupError):
            await fetch_one(conn, "SELECT * FROM goods")


async def test_a_database_that_is_away_is_an_infrastructure_failure() -> None:
    nobody = Database("postgresql://postgres@127.0.0.1:1/groupbuy", size=1)
    for _ in range(2):  # the second finds that the first gave its turn back
        with pytest.raises(ConnectionRefusedError):
            async with connection(nobody):
                pass


async def test_a_connection_is_used_again_after_an_exception_that_is_none_of_its_own(doomed: Database) -> None:
    async with connection(doomed) as conn:
        first = conn.get_server_pid()
    with pytest.raises(RuntimeError):
        async with connection(doomed) as conn:
            raise RuntimeError
    async with connection(doomed) as conn:
        assert conn.get_server_pid() == first


async def test_a_connection_that_nobody_used_for_long_is_not_trusted(doomed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connection(doomed) as conn:
        first = conn
    monkeypatch.setattr("db.core.connection.TRUSTED_FOR", -1)
    async with connection(doomed) as conn:
        assert conn is not first
        assert first.is_closed()


async def test_who_finds_all_connections_in_use_waits_for_one(doomed: Database) -> None:
    async def pid() -> int:
        async with connection(doomed) as conn:
            return conn.get_server_pid()

    async with connection(doomed) as one, connection(doomed) as other:
        waiting = [asyncio.create_task(pid()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        waiting.pop(0).cancel()
    assert set(await asyncio.gather(*waiting)) <= {one.get_server_pid(), other.get_server_pid()}


async def test_who_waits_for_too_long_fails_as_infrastructure(doomed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.core.connection.CHECKOUT_WITHIN", 0.05)
    async with connection(doomed), connection(doomed):
        with pytest.raises(TimeoutError):
            await doomed.take()
    async with connection(doomed), connection(doomed):
        pass


async def test_closing_ends_every_connection(doomed: Database) -> None:
    async with connection(doomed) as used:
        async with connection(doomed) as free:
            pass
        await doomed.close()
        assert free.is_closed()
        assert await used.fetchval("SELECT 1") == 1
    assert used.is_closed()
