"""Exports: every row once, in chunks; once for each act; deleted after a day."""

import asyncio
import uuid
from datetime import timedelta

import pytest

import db.exports
from db.core.connection import Database
from db.exports import (
    ExportFilter,
    begin_export,
    delete_exports,
    fail_export,
    list_exports,
    read_chunk,
    read_export,
    write_chunk,
)
from db.orders.queries import OrderFilter
from db.settings.audit import ChangeFilter, list_changes, record_unchanged
from db.settlements import SettlementFilter, count_settlements, list_settlements
from db.statistics import StatisticsFilter, count_day, list_statistics
from db.teams.queries import TeamFilter
from domain.csv_text import BYTE_ORDER_MARK, csv_header, csv_lines
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.acts import Act
from domain.schemas.audit import Change
from domain.schemas.exports import Export, ExportKind, ExportStatus
from domain.schemas.settlements import MonthlySettlement
from domain.schemas.statistics import DayStatistics
from tests.acts import act_of
from tests.db.shop import NOW, SOURCE, Shop

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.exports, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(db.exports, "CHUNK", 4)


async def begin(shop: Shop, act: Act | None = None, **filters: object) -> Export:
    return await begin_kind(shop, ExportKind.ORDERS, OrderFilter(**filters), act)  # type: ignore[arg-type]


async def begin_kind(shop: Shop, kind: ExportKind, filters: ExportFilter, act: Act | None = None) -> Export:
    return await begin_export(shop.database, kind, filters, act=act or act_of(), now=NOW)


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
    teams = await write(shop.database, await begin_kind(shop, ExportKind.TEAMS, TeamFilter(status=TeamStatus.FORMING)))
    assert (len(teams), teams[1].split(",")[1]) == (2, other.team_id)


async def test_statistics_are_exported_as_they_are_listed(shop: Shop) -> None:
    days = [NOW.date() - number * DAY for number in range(7)]
    for day in days:
        await count_day(shop.database, day, NOW)
    filters = StatisticsFilter(days[5], days[1])
    export = await begin_kind(shop, ExportKind.STATISTICS, filters)
    assert export.filters == {"since": days[5].isoformat(), "until": days[1].isoformat()}
    listed = await list_statistics(shop.database, filters)
    assert [each.day for each in listed] == days[1:6]
    text = BYTE_ORDER_MARK + csv_header(DayStatistics) + csv_lines(listed)
    assert await write(shop.database, export) == text.splitlines()


async def test_settlements_are_exported_as_they_are_listed(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2, ends_at=NOW + 200 * DAY)
    for month in range(5):
        at = NOW + month * 31 * DAY
        for member in await shop.team(campaign, locked=2):
            await shop.settle(member, now=at)
        await count_settlements(shop.database, at.date(), at)
    filters = SettlementFilter("2026-05", "2026-12", SOURCE)
    export = await begin_kind(shop, ExportKind.SETTLEMENTS, filters)
    assert export.filters == {"since": "2026-05", "until": "2026-12", "source": SOURCE}
    listed = await list_settlements(shop.database, filters, None, 99)
    assert len(listed) == 5
    text = BYTE_ORDER_MARK + csv_header(MonthlySettlement) + csv_lines(listed)
    assert await write(shop.database, export) == text.splitlines()


async def test_the_audit_is_exported_as_it_is_listed(shop: Shop) -> None:
    for number in range(7):
        await record_unchanged(shop.database, f"team/t{number}", "close", act_of("carl"), "It was over.", NOW)
    filters = ChangeFilter(subject="team", changed_by="carl", since=NOW)
    export = await begin_kind(shop, ExportKind.AUDIT, filters)
    listed = await list_changes(shop.database, filters, None, 99)
    assert len(listed) == 7
    text = BYTE_ORDER_MARK + csv_header(Change) + csv_lines(listed)
    assert await write(shop.database, export) == text.splitlines()


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
