"""One stack for all tests of this folder (in one xdist process): every test brings goods, campaigns and buyers of its own."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from temporalio.client import Client

from db.core.connection import Database
from db.settings.keys import new_key, save_key
from db.settings.malls import MallRecord, save_mall
from embedded.ports import HOST
from embedded.stack import Stack
from tests.api.caller import Caller, http_session
from tests.api.polling import until
from tests.api.receiver import Receiver, listening
from tests.api.shop import OTHER_SOURCE, Shop
from tests.stack_fixture import running_stack


@pytest.fixture(scope="package")
async def stack() -> AsyncIterator[Stack]:
    # A team of a test has its workflow from its first lock on, also on a busy machine.
    async with running_stack(GROUPBUY_ORCHESTRATED_WITHIN="7", GROUPBUY_ORCHESTRATED_AT_ONCE="100") as running:
        yield running


@pytest.fixture(scope="package")
async def shop(stack: Stack) -> AsyncIterator[Shop]:
    addresses = stack.addresses
    other_key = new_key(for_operations=False)
    await _admit_another_mall(addresses.database_url, other_key)
    async with http_session() as http:
        keys = (addresses.mall_key, addresses.ops_key, other_key)
        yield Shop(*(Caller(http, addresses.api_url, key) for key in keys))


async def _admit_another_mall(database_url: str, key: str) -> None:
    database = Database(database_url, size=1)
    try:
        await save_mall(
            database, MallRecord(OTHER_SOURCE, "Another mall", None, (HOST,), ("whsec_YW5vdGhlciBtYWxs",), local=True)
        )
        await save_key(database, key, name="another mall", source=OTHER_SOURCE, now=datetime.now(UTC))
    finally:
        await database.close()


@pytest.fixture
async def receiver(stack: Stack) -> AsyncIterator[Receiver]:
    async with listening(stack.addresses.webhook_secret) as receiver:
        yield receiver


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(stack.addresses.database_url)
    yield conn
    await conn.close()


@pytest.fixture(scope="package")
async def temporal(stack: Stack) -> Client:
    """As Temporal's own CLI speaks: plain JSON, and nothing known of our types."""
    return await Client.connect(stack.addresses.temporal_address)


class Log:
    """What a part has written since the test began."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin = path.stat().st_size

    def lines(self) -> list[str]:
        with self._path.open("rb") as file:
            file.seek(self._begin)
            return file.read().decode().splitlines()


@pytest.fixture
def api_log(stack: Stack) -> Log:
    return Log(stack.part("api").log)


@pytest.fixture(scope="module", autouse=True)
async def invariants_hold(shop: Shop) -> AsyncIterator[None]:
    """After each module; what an earlier one has left, and has failed for, is not held against it."""
    before = await shop.violations()
    yield
    assert [violation for violation in await shop.violations() if violation not in before] == []


@pytest.fixture(autouse=True)
async def no_defect_is_met(stack: Stack) -> AsyncIterator[None]:
    """After every test: neither API nor worker has met one."""
    logs = [Log(stack.part(name).log) for name in ("api", "worker-1")]
    yield
    defects = ("a defect", "unexpected error", "background task failed", "Failed activation", "Exception in ASGI")
    assert [line for log in logs for line in log.lines() if any(defect in line for defect in defects)] == []


WRITTEN = (
    "orders",
    "teams",
    "campaigns",
    "campaign_goods",
    "goods",
    "changes",
    "payment_conflicts",
    "user_quotas",
    "audiences",
    "switches",
    "malls",
    "api_keys",
)


@pytest.fixture
async def one_line_and_nothing_written(database: asyncpg.Connection, api_log: Log) -> AsyncIterator[None]:
    """Bad requests write no row, and one line each into the log."""

    async def rows() -> list[int]:
        return [await database.fetchval(f"SELECT count(*) FROM {table}") for table in WRITTEN]  # noqa: S608

    before, calls = await rows(), Caller.calls
    yield
    calls = Caller.calls - calls
    assert calls > 0
    assert await rows() == before

    async def lines() -> list[str]:
        return api_log.lines()

    written = await until(lines, lambda seen: len(seen) >= calls)
    assert len(written) == calls
    assert {json.loads(line)["logger"] for line in written} == {"groupbuy.access"}
    assert max(map(len, written)) < 1600  # 200 characters of the path, escaped
