"""Exports: every row once, in chunks; once for each act; deleted after a day."""

import asyncio
import uuid
from datetime import timedelta

import pytest

import db.exports
from db.core.connection import Database
from db.exports import begin_export, delete_exports, fail_export, list_exports, read_chunk, read_export, write_chunk
from db.orders.queries import OrderFilter
from db.teams.queries import TeamFilter
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.acts import Act
from domain.schemas.exports import Export, ExportKind, ExportStatus
from tests.acts import act_of
from tests.db.shop import NOW, Shop

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.exports, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(db.exports, "CHUNK", 4)


async def begin(shop: Shop, act: Act | None = None, kind: ExportKind = ExportKind.ORDERS, **filters: object) -> Export:
    wanted = OrderFilter(**filters) if kind is ExportKind.ORDERS else TeamFilter(**filters)  # type: ignore[arg-type]
    return await begin_export(shop.database, kind, wanted, act=act or act_of(), now=NOW)


async def write(database: Database, export: Export) -> list[str]:
    """Writes the whole file, and returns its lines."""
    while (await write_chunk(database, export.export_id, NOW)).status is ExportStatus.RUNNING:
        pass
    return await lines(database, export)


async def lines(database: Database, export: Export) -> list[str]:
    parts, number = [], 0
    while (part := await read_chunk(database, export.export_id, number)) is not None:
        parts.append(part)
        number += 1
    return b"".join(parts).decode().splitlines()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8, 9])
async def test_a_file_has_every_row_once_the_newest_first(shop: Shop, count: int) -> None:
    campaign = await shop.campaign()
    made = [(await shop.team(campaign))[0] for _ in range(count)]
    header, *rows = await write(shop.database, await begin(shop))
    assert header.startswith("\ufefforder_id,out_trade_no,")
    assert sorted(row.split(",")[0] for row in rows) == sorted(member.order_id for member in made)
    done = (await list_exports(shop.database))[0]
    assert (done.status, done.rows, done.kept_until) == (ExportStatus.DONE, count, NOW + DAY)


async def test_filters_are_kept_as_the_list_takes_them(shop: Shop) -> None:
    campaign = await shop.campaign()
    paid, other = await shop.team(campaign, paid=1, locked=1)
    export = await begin(shop, status=OrderStatus.PAID, campaign_id=campaign.campaign_id, owed=False)
    assert export.filters == {"status": "paid", "campaign_id": campaign.campaign_id, "owed": False}
    assert [paid.order_id in row for row in (await write(shop.database, export))[1:]] == [True]
    teams = await write(shop.database, await begin(shop, kind=ExportKind.TEAMS, status=TeamStatus.FORMING))
    assert (len(teams), teams[1].split(",")[1]) == (2, other.team_id)


async def test_attempts_side_by_side_write_no_row_twice(shop: Shop) -> None:
    campaign = await shop.campaign()
    for _ in range(9):
        await shop.team(campaign)
    export = await begin(shop)
    file, *others = await asyncio.gather(*(write(shop.database, export) for _ in range(3)))
    assert len(set(file)) == len(file) == 10
    assert others == [file, file]


async def test_an_act_begins_one_export_and_is_recorded(shop: Shop) -> None:
    act = act_of("ann")
    first, again = await begin(shop, act), await begin(shop, act, status=OrderStatus.PAID)
    assert (again, first.export_id) == (first, act.id)
    (recorded,) = await shop.rows("SELECT subject, action, changed_by, outcome FROM changes WHERE action = 'export'")
    assert tuple(recorded) == (f"export/{act.id}", "export", "ann", "orders")


async def test_a_person_has_few_at_a_time(shop: Shop) -> None:
    running = [await begin(shop) for _ in range(3)]
    with pytest.raises(Refusal) as refused:
        await begin(shop)
    assert refused.value.code is ErrorCode.RATE_LIMITED
    await begin(shop, act_of("bob"))
    await write(shop.database, running[0])
    await begin(shop)


async def test_one_that_fails_leaves_no_file(shop: Shop) -> None:
    campaign = await shop.campaign()
    for _ in range(5):
        await shop.team(campaign)
    export = await begin(shop)
    await write_chunk(shop.database, export.export_id, NOW)
    await fail_export(shop.database, export.export_id, "cancelled", NOW)
    assert await lines(shop.database, export) == []
    assert (await write_chunk(shop.database, export.export_id, NOW)).status is ExportStatus.FAILED
    found = await read_export(shop.database, export.export_id)
    assert (found.status, found.failure, found.kept_until) == (ExportStatus.FAILED, "cancelled", NOW + DAY)


async def test_files_are_deleted_after_a_day_and_what_was_abandoned_after_two(shop: Shop) -> None:
    done, abandoned = await begin(shop), await begin(shop)
    await write(shop.database, done)
    await delete_exports(shop.database, NOW + DAY - timedelta(seconds=1))
    assert len(await list_exports(shop.database)) == 2
    await delete_exports(shop.database, NOW + DAY)
    assert [export.export_id for export in await list_exports(shop.database)] == [abandoned.export_id]
    await delete_exports(shop.database, NOW + 2 * DAY)
    assert (await list_exports(shop.database), await shop.value("SELECT count(*) FROM export_chunks")) == ([], 0)
    with pytest.raises(Refusal):
        await read_export(shop.database, uuid.uuid4().hex)
