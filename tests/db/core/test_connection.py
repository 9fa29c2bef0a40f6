"""Connections that break: the call on one fails as an infrastructure failure, and the next call works."""

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
    """A pool of two, whose connections a test breaks; those of the shop are not affected."""
    database = Database(server.database_url, size=2)
    yield database
    await database.close()


async def terminate(shop: Shop, *pids: int) -> None:
    """Terminates these connections on the server, as a failover does."""
    for pid in pids:
        assert await shop.value("SELECT pg_terminate_backend($1)", pid)


async def test_calls_after_a_terminated_connection_succeed(shop: Shop, doomed: Database) -> None:
    campaign = await shop.campaign()
    for _ in range(5):
        terminated: dict[int, asyncio.Event] = {}
        async with AsyncExitStack() as stack:
            for _ in range(2):
                conn = await stack.enter_async_context(connection(doomed))
                terminated[conn.get_server_pid()] = event = asyncio.Event()
                conn.add_termination_listener(lambda _, event=event: event.set())

        await terminate(shop, *terminated)
        await asyncio.gather(*(event.wait() for event in terminated.values()))

        await shop.race(*(Shop(doomed).lock(shop.opener(campaign)) for _ in range(6)))


async def test_termination_within_a_transaction_is_an_infrastructure_failure_and_rolls_back(
    shop: Shop, doomed: Database
) -> None:
    async def write() -> None:
        async with transaction(doomed) as conn:
            await conn.execute(WRITE)
            await terminate(shop, conn.get_server_pid())
            await conn.execute("SELECT 1")

    with pytest.raises(INFRASTRUCTURE_FAILURES):
        await write()

    assert await shop.value("SELECT count(*) FROM goods") == 0
    async with transaction(doomed) as conn:
        await conn.execute(WRITE)


async def test_termination_while_waiting_for_a_row_lock_is_an_infrastructure_failure(shop: Shop, doomed: Database) -> None:
    (opener,) = await shop.team(await shop.campaign())
    joiner = shop.joiner(opener)
    async with transaction(shop.database) as blocker:
        await blocker.execute("SELECT FROM teams FOR UPDATE")
        joining: asyncio.Task[HeldSeat] = asyncio.create_task(Shop(doomed).lock(joiner))
        await shop.until_waiting(1)
        await terminate(shop, await shop.value("SELECT pid FROM pg_locks WHERE NOT granted"))
        with pytest.raises(INFRASTRUCTURE_FAILURES):
            await joining

    assert (await Shop(doomed).lock(joiner)).seats[0].out_trade_no == joiner.number
    assert (await shop.team_row(opener))["lock_count"] == 2


async def test_a_cancelled_lock_releases_its_connection_and_its_repeat_takes_one_seat(shop: Shop, server: Server) -> None:
    """The server may still execute the cancelled statement, so the outcome is unknown until the repeat."""
    (opener,) = await shop.team(await shop.campaign(target_count=9))
    joiners = [shop.joiner(opener) for _ in range(5)]
    single = Database(server.database_url, size=1)
    try:
        for joiner in joiners:
            async with transaction(shop.database) as blocker:
                await blocker.execute("SELECT FROM teams FOR UPDATE")
                joining = asyncio.create_task(Shop(single).lock(joiner))
                await shop.until_waiting(1)
                joining.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await joining
        for joiner in joiners:
            assert (await Shop(single).lock(joiner)).seats[0].out_trade_no == joiner.number
    finally:
        await single.close()
    assert (await shop.team_row(opener))["lock_count"] == 6


async def test_a_server_that_became_a_standby_is_an_infrastructure_failure_and_its_connections_are_dropped(
    shop: Shop, doomed: Database
) -> None:
    """After a failover whose connections live on, every write on them is refused with 25006."""
    campaign = await shop.campaign()
    async with connection(doomed) as one, connection(doomed) as other:
        for conn in (one, other):
            await conn.execute("SET default_transaction_read_only = on")

    with pytest.raises(INFRASTRUCTURE_FAILURES):
        await Shop(doomed).lock(shop.opener(campaign))

    assert one.is_closed()
    assert other.is_closed()
    await Shop(doomed).lock(shop.opener(campaign))


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


async def test_an_unreachable_database_is_an_infrastructure_failure() -> None:
    unreachable = Database("postgresql://postgres@127.0.0.1:1/groupbuy", size=1)
    for _ in range(2):  # the second time proves that the first released its slot
        with pytest.raises(ConnectionRefusedError):
            async with connection(unreachable):
                pass


async def test_a_connection_is_reused_after_an_unrelated_exception(doomed: Database) -> None:
    async with connection(doomed) as conn:
        first = conn.get_server_pid()
    with pytest.raises(RuntimeError):
        async with connection(doomed) as conn:
            raise RuntimeError
    async with connection(doomed) as conn:
        assert conn.get_server_pid() == first


async def test_a_connection_that_was_idle_for_too_long_is_not_reused(doomed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connection(doomed) as conn:
        first = conn
    monkeypatch.setattr("db.core.connection.MAX_IDLE", -1)
    async with connection(doomed) as conn:
        assert conn is not first
        assert first.is_closed()


async def test_a_call_waits_while_all_connections_are_in_use(doomed: Database) -> None:
    async def pid() -> int:
        async with connection(doomed) as conn:
            return conn.get_server_pid()

    async with connection(doomed) as one, connection(doomed) as other:
        waiting = [asyncio.create_task(pid()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        waiting.pop(0).cancel()
    assert set(await asyncio.gather(*waiting)) <= {one.get_server_pid(), other.get_server_pid()}


async def test_a_call_that_waits_too_long_is_an_infrastructure_failure(
    doomed: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.core.connection.ACQUIRE_TIMEOUT", 0.05)
    async with connection(doomed), connection(doomed):
        with pytest.raises(TimeoutError):
            await doomed.acquire()
    async with connection(doomed), connection(doomed):
        pass


async def test_closing_ends_every_connection(doomed: Database) -> None:
    async with connection(doomed) as used:
        async with connection(doomed) as idle:
            pass
        await doomed.close()
        assert idle.is_closed()
        assert await used.fetchval("SELECT 1") == 1
    assert used.is_closed()
