"""Switches, malls, keys and the audit; caching of switches."""

import asyncpg
import pytest

from api.runtime.cache import Cache
from db.core.connection import transaction
from db.settings.audit import ChangeFilter, export_changes, find_outcome, list_changes, record_act
from db.settings.keys import OpsAccess, create_key, list_keys, read_access, revoke_key, save_key
from db.settings.malls import (
    add_webhook_secret,
    drop_old_webhook_secrets,
    list_malls,
    put_mall,
    read_mall,
)
from db.settings.switches import list_switches, read_switches, set_switch
from domain.errors import ErrorCode, Refusal
from domain.messages.acts import Act, Author, Outcome
from domain.messages.acts import command_line_author as author
from domain.schemas.audit import Change, Via
from domain.schemas.keys import NewKey
from domain.schemas.malls import MallFields
from domain.scopes import Scope
from domain.switches import Switches
from tests.api.polling import until
from tests.db.conftest import Server
from tests.db.core.test_listen import listening
from tests.db.shop import NOW, OVERDUE, SOURCE, Shop


async def changes_of(shop: Shop, subject: str | None = None) -> list[Change]:
    return await list_changes(shop.database, ChangeFilter(subject=subject), None, 10)


async def test_switches_are_versioned_and_recorded(shop: Shop) -> None:
    assert [(switch.name, switch.value, switch.version) for switch in await list_switches(shop.database)] == [
        ("suspended", False, 0),
        ("rollout", 100, 0),
        ("blocked", [], 0),
    ]
    for percent, by in ((20, "ann"), (0, "bob")):
        await set_switch(shop.database, "rollout", Switches(rollout=percent), by=author(by), now=NOW)
    switch = (await list_switches(shop.database))[1]
    assert (switch.name, switch.value, switch.version, switch.changed_by, switch.changed_at) == ("rollout", 0, 2, "bob", NOW)
    assert await read_switches(shop.database) == Switches(rollout=0)
    changes = await changes_of(shop, "switch/rollout")
    assert [(change.changed_by, change.content["value"], change.content["version"]) for change in changes] == [
        ("bob", 0, 2),
        ("ann", 20, 1),
    ]


async def test_only_the_hash_of_a_key_is_stored(shop: Shop) -> None:
    created = await create_key(
        shop.database, "gb_ops_x", NewKey(name="ann", scopes=[Scope.OPS, Scope.OPS]), by=author("root"), now=NOW
    )
    access = await read_access(shop.database, "gb_ops_x")
    assert access == OpsAccess("ann", created.key_id, frozenset({Scope.OPS, Scope.SUPPORT, Scope.READ}))
    assert await list_keys(shop.database, None, None, 10) == [created]
    assert "gb_ops_x" not in str([dict(row) for row in await shop.rows("SELECT * FROM api_keys")])
    assert "gb_ops_x" not in str(await changes_of(shop))

    revoked = await revoke_key(shop.database, created.key_id, by=author("root"), now=NOW)
    assert revoked.revoked_at == NOW
    assert await revoke_key(shop.database, created.key_id, by=author("root"), now=OVERDUE) == revoked
    assert await read_access(shop.database, "gb_ops_x") is None
    assert len(await changes_of(shop, f"key/{created.key_id}")) == 2


async def test_unknown_malls_and_keys_are_not_found(shop: Shop) -> None:
    new = NewKey(name="ann", source="s99", scopes=[Scope.READ])
    for code, call in (
        (ErrorCode.MALL_NOT_FOUND, create_key(shop.database, "gb_x", new, by=author("root"), now=NOW)),
        (ErrorCode.MALL_NOT_FOUND, add_webhook_secret(shop.database, "s99", "whsec_", by=author("root"), now=NOW)),
        (ErrorCode.MALL_NOT_FOUND, drop_old_webhook_secrets(shop.database, "s99", by=author("root"), now=NOW)),
        (ErrorCode.KEY_NOT_FOUND, revoke_key(shop.database, "key-1", by=author("root"), now=NOW)),
    ):
        with pytest.raises(Refusal) as refusal:
            await call
        assert refusal.value.code is code
    assert await read_mall(shop.database, "s99") is None
    assert await changes_of(shop) == []


async def test_at_most_two_webhook_secrets_are_valid(shop: Shop) -> None:
    await put_mall(shop.database, "s02", MallFields(name="New mall"), by=author("root"), now=NOW)
    for count, secret in enumerate(("whsec_1", "whsec_2", "whsec_3"), 1):
        mall = await add_webhook_secret(shop.database, "s02", secret, by=author("root"), now=NOW)
        assert mall.webhook_secrets == min(count, 2)
    assert await shop.value("SELECT webhook_secrets FROM malls WHERE source = 's02'") == ["whsec_3", "whsec_2"]
    await put_mall(shop.database, "s02", MallFields(name="Newer mall"), by=author("root"), now=NOW)
    await drop_old_webhook_secrets(shop.database, "s02", by=author("root"), now=NOW)
    assert await shop.value("SELECT webhook_secrets FROM malls WHERE source = 's02'") == ["whsec_3"]
    assert [mall.name for mall in await list_malls(shop.database, SOURCE, 10)] == ["Newer mall"]
    changes = await changes_of(shop, "mall")
    assert [change.content["webhook_secrets"] for change in changes] == [1, 2, 2, 2, 1, 0]
    assert "whsec" not in str(changes)


async def test_changes_are_listed_by_subject_kind_and_author(shop: Shop) -> None:
    for name in ("suspended", "rollout", "suspended"):
        await set_switch(shop.database, name, Switches(), by=author(name[0]), now=NOW)
    await shop.goods()

    async def found(subject: str | None, by: str | None, before: int | None = None, limit: int = 10) -> list[int]:
        filters = ChangeFilter(subject=subject, changed_by=by)
        return [change.change_no for change in await list_changes(shop.database, filters, before, limit)]

    assert await found(None, None) == [4, 3, 2, 1]
    assert await found("switch", None) == [3, 2, 1]
    assert await found("switch/suspended", None) == [3, 1]
    assert await found("swi", None) == []
    assert await found(None, "r") == [2]
    assert await found("switch", "s", before=3) == [1]
    assert await found(None, None, before=4, limit=2) == [3, 2]


AUTHOR = Author(operator="ann", via=Via.API, key_id="key-1", request_id="r1", address="192.0.2.1")


async def test_the_audit_says_who_did_what_by_which_way_and_what_came_of_it(shop: Shop) -> None:
    act, outcome = Act(id="a1", author=AUTHOR, reason="a call"), Outcome(changed=False, detail="It was over.")
    async with transaction(shop.database) as conn:
        assert await find_outcome(conn, "team/t1", act) is None
        await record_act(conn, "team/t1", "close", act, outcome, NOW)
        assert await find_outcome(conn, "team/t1", act) == outcome
        assert await find_outcome(conn, "team/t2", act) is None
    await set_switch(shop.database, "rollout", Switches(), by=AUTHOR, now=OVERDUE)

    set_, acted = await changes_of(shop)
    for change in (set_, acted):
        assert (change.changed_by, change.via, change.key_id, change.request_id, change.address) == (
            *("ann", "api", "key-1", "r1"),
            "192.0.2.1",
        )
    assert (acted.action, acted.reason, acted.changed, acted.outcome) == ("close", "a call", False, "It was over.")
    assert (set_.action, set_.reason, set_.changed, set_.outcome) == ("set", None, True, None)
    exported = [change async for changes in export_changes(shop.database, ChangeFilter()) for change in changes]
    assert exported == [acted, set_]
    later = ChangeFilter(since=OVERDUE)
    assert await list_changes(shop.database, later, None, 10) == [set_]
    assert await list_changes(shop.database, ChangeFilter(until=OVERDUE), None, 10) == [acted]


async def test_the_audit_cannot_be_changed(shop: Shop) -> None:
    await set_switch(shop.database, "rollout", Switches(), by=AUTHOR, now=NOW)
    before = await changes_of(shop)

    for statement in ("UPDATE changes SET changed_by = 'bob'", "DELETE FROM changes", "TRUNCATE changes"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await shop.execute(statement)

    assert await changes_of(shop) == before


async def test_a_name_belongs_to_one_key_for_ever(shop: Shop) -> None:
    key = await create_key(shop.database, "gb_1", NewKey(name="ann", scopes=[Scope.OPS]), by=AUTHOR, now=NOW)
    await revoke_key(shop.database, key.key_id, by=AUTHOR, now=NOW)

    for name in ("ann", "Ann"):
        with pytest.raises(Refusal, match="invalid_request"):
            await create_key(shop.database, "gb_2", NewKey(name=name, scopes=[Scope.OPS]), by=AUTHOR, now=NOW)
    # An installation has to go on: its key is told apart by its id.
    await save_key(shop.database, "gb_3", name="ann", source=None, now=NOW)
    await save_key(shop.database, "gb_3", name="ann", source=None, now=NOW)
    installed, first = sorted(key.name for key in await list_keys(shop.database, None, None, 10))[::-1]
    assert first == "ann"
    assert installed.startswith("ann key-")


# --- cache ---


async def test_switches_are_cached_until_they_change(shop: Shop, server: Server) -> None:
    cache = Cache(server.database_url)
    async with listening(cache.notices):

        async def switches() -> Switches:
            return await cache.get("switches", lambda: read_switches(shop.database), lambda _: ["switch"])

        assert await switches() == Switches()
        await set_switch(shop.database, "suspended", Switches(suspended=True), by=author("ann"), now=NOW)
        assert await until(switches, lambda found: found.suspended, 1) == Switches(suspended=True)
