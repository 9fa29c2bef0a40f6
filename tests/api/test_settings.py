"""Switches, malls, keys, limits and the audit, over HTTP."""

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cli.admin import issue_key
from embedded.demo_data import CHANNEL, SOURCE
from embedded.errors import StackError
from embedded.ports import HOST
from embedded.stack import Stack
from tests.api.another_api import another_api
from tests.api.caller import Answer, Caller
from tests.api.conftest import Log
from tests.api.polling import until
from tests.api.shop import Json, Shop, fresh

GROUPBUY = Path(sys.executable).with_name("groupbuy")


async def new_key(shop: Shop, source: str | None = None, *scopes: str) -> tuple[Caller, Json]:
    answer = await shop.ops.post("/v1/ops/keys", {"name": fresh("key"), "source": source, "scopes": scopes})
    assert answer.headers["Cache-Control"] == "no-store"
    created = answer.ok(201)
    return shop.mall.with_key(created["key"]), created


async def new_mall(shop: Shop, **fields: object) -> tuple[str, Caller]:
    source = fresh("m")[:12]
    (await shop.ops.put(f"/v1/ops/malls/{source}", {"name": "A mall", **fields})).ok()
    return source, (await new_key(shop, source, "trade"))[0]


async def delete(who: Caller, path: str) -> Answer:
    return await who.call("DELETE", path)


async def test_switches_are_set_and_read(shop: Shop) -> None:
    listed = (await shop.ops.get("/v1/ops/switches")).ok()
    assert [switch["name"] for switch in listed["data"]] == ["suspended", "rollout", "blocked"]
    before = (await shop.ops.get("/v1/ops/switches/blocked")).ok()
    place = {"source": "s09", "channel": "c09"}
    changed = (await shop.ops.put("/v1/ops/switches/blocked", {"value": [place]})).ok()
    assert changed == {**changed, "name": "blocked", "value": [place], "version": before["version"] + 1}
    assert changed["changed_by"] == "demo operator"
    assert (await shop.ops.get("/v1/ops/switches/blocked")).ok() == changed
    (await shop.ops.put("/v1/ops/switches/blocked", {"value": []})).ok()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("suspended", 1),
        ("suspended", "true"),
        ("suspended", None),
        ("rollout", 101),
        ("rollout", -1),
        ("rollout", "50"),
        ("rollout", 50.5),
        ("blocked", {}),
        ("blocked", [{"source": "s01"}]),
        ("blocked", [{"source": "s01", "channel": "c01", "why": "x"}]),
        ("blocked", ["s01c01"]),
    ],
)
@pytest.mark.usefixtures("one_line_and_nothing_written")
async def test_a_switch_takes_its_type_alone(shop: Shop, name: str, value: object) -> None:
    problem = (await shop.ops.put(f"/v1/ops/switches/{name}", {"value": value})).refused("invalid_request", 422)
    assert problem["errors"][0]["field"].startswith("body.value")


async def test_unknown_switches_malls_and_keys_are_not_found(shop: Shop) -> None:
    (await shop.ops.get("/v1/ops/switches/dark")).refused("switch_not_found", 404)
    (await shop.ops.put("/v1/ops/switches/dark", {"value": 1})).refused("switch_not_found", 404)
    (await shop.ops.put("/v1/ops/switches/suspended", {})).refused("invalid_request", 422)
    (await shop.ops.get("/v1/ops/malls/s99")).refused("mall_not_found", 404)
    (await shop.ops.post("/v1/ops/malls/s99/webhook_secrets")).refused("mall_not_found", 404)
    (await delete(shop.ops, "/v1/ops/keys/key-1")).refused("key_not_found", 404)
    new = {"name": "x", "source": "s99", "scopes": ["read"]}
    (await shop.ops.post("/v1/ops/keys", new)).refused("mall_not_found", 404)


# --- malls ---


async def test_a_mall_is_admitted_changed_and_listed(shop: Shop) -> None:
    source = fresh("m")[:12]
    path = f"/v1/ops/malls/{source}"
    fields = {
        "name": "A mall",
        "callback": {"kind": "http", "url": "https://mall.example:8443/callbacks"},
        "callback_hosts": ["mall.example"],
        "routing_key_prefixes": ["mall."],
        "local": False,
        "request_limit": 50,
        "legacy_networks": ["10.1.0.0/16", "fd00::/8"],
    }
    mall = (await shop.ops.put(path, fields)).ok()
    assert mall == {**fields, "source": source, "webhook_secrets": 0}
    (await shop.ops.put(path, {**fields, "callback_hosts": ["other.example"]})).refused("invalid_request", 422)
    changed = {**fields, "callback": {"kind": "amqp", "routing_key": "mall.events"}}
    (await shop.ops.put(path, changed)).ok()
    assert (await shop.ops.get(path)).ok() == {**mall, "callback": changed["callback"]}
    del changed["routing_key_prefixes"]
    (await shop.ops.put(path, changed)).refused("invalid_request", 422)
    own = {**changed, "callback": {"kind": "amqp", "routing_key": f"{source}.events"}}
    assert (await shop.ops.put(path, own)).ok()["routing_key_prefixes"] == [f"{source}."]

    found: list[Json] = []
    page: Json = {"next_cursor": ""}
    while page["next_cursor"] is not None:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = (await shop.ops.get("/v1/ops/malls", limit=2, **cursor)).ok()
        found += page["data"]
    sources = [mall["source"] for mall in found]
    assert {SOURCE, source} <= set(sources)
    assert sources == sorted(set(sources))


async def test_a_mall_s_change_holds_for_the_next_request(shop: Shop, database: asyncpg.Connection) -> None:
    source, mall = await new_mall(shop)
    offer = await shop.sell(also_sold_by=[source])
    for port in (1, 2):
        callback = {"kind": "http", "url": f"http://localhost:{port}/"}
        changed = {"name": "A mall", "callback": callback, "callback_hosts": ["localhost"], "local": True}
        (await shop.ops.put(f"/v1/ops/malls/{source}", changed)).ok()
        order = (await mall.post("/v1/orders", offer.request())).ok(201)
        address = await database.fetchval("SELECT callback_address FROM orders WHERE order_id = $1", order["order_id"])
        assert address == callback["url"]


async def test_webhook_secrets_rotate_and_are_shown_once(shop: Shop, database: asyncpg.Connection) -> None:
    source, _ = await new_mall(shop)
    path = f"/v1/ops/malls/{source}/webhook_secrets"
    answers = [await shop.ops.post(path) for _ in range(3)]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    made = [answer.ok(201) for answer in answers]
    secrets = [each["webhook_secret"] for each in made]
    assert [each["valid"] for each in made] == [1, 2, 2]

    async def valid() -> list[str]:
        return list(await database.fetchval("SELECT webhook_secrets FROM malls WHERE source = $1", source))

    assert await valid() == [secrets[2], secrets[1]]
    assert (await delete(shop.ops, path)).ok()["webhook_secrets"] == 1
    assert await valid() == [secrets[2]]
    told = [await shop.ops.get(path) for path in (f"/v1/ops/malls/{source}", f"/v1/ops/audit?subject=mall/{source}")]
    assert not [secret for secret in secrets if secret in json.dumps([answer.ok() for answer in told])]


# --- keys ---


async def test_a_reading_key_reads_and_quotes_and_a_trading_key_trades(shop: Shop) -> None:
    offer = await shop.sell()
    reader, _ = await new_key(shop, SOURCE, "read")
    trader, _ = await new_key(shop, SOURCE, "trade")
    order = (await trader.post("/v1/orders", offer.request())).ok(201)
    quote = {"goods_id": offer.goods_id, "channel": CHANNEL, "user_id": fresh("user")}
    for key in (reader, trader):
        (await key.get(f"/v1/orders/{order['out_trade_no']}")).ok()
        (await key.get(f"/v1/teams/{order['team_id']}")).ok()
        (await key.post("/v1/quotes", quote)).ok()
        (await key.get("/v1/ops/teams")).refused("forbidden", 403)
    path = f"/v1/orders/{order['out_trade_no']}"
    payment = {"amount": "80.00", "paid_at": "2026-01-31T12:00:00Z"}
    for refused in (
        await reader.post("/v1/orders", offer.request()),
        await reader.post(f"{path}/payment", payment),
        await reader.post(f"{path}/refund"),
    ):
        assert "trade" in refused.refused("forbidden", 403)["detail"]
    (await trader.post(f"{path}/refund")).ok(202)


async def test_operators_do_everything_but_malls_and_keys(shop: Shop) -> None:
    operator, _ = await new_key(shop, None, "ops")
    for path in ("/v1/ops/teams", "/v1/ops/switches", "/v1/ops/audit", "/v1/ops/campaigns", "/v1/ops/invariants"):
        (await operator.get(path)).ok()
    for answer in (
        await operator.get("/v1/ops/keys"),
        await operator.post("/v1/ops/keys", {"name": "x", "scopes": ["admin"]}),
        await delete(operator, "/v1/ops/keys/key-1"),
        await operator.get("/v1/ops/malls"),
        await operator.get(f"/v1/ops/malls/{SOURCE}"),
        await operator.put(f"/v1/ops/malls/{SOURCE}", {"name": "x"}),
        await operator.post(f"/v1/ops/malls/{SOURCE}/webhook_secrets"),
        await delete(operator, f"/v1/ops/malls/{SOURCE}/webhook_secrets"),
    ):
        assert "admin" in answer.refused("forbidden", 403)["detail"]
    (await operator.post("/v1/orders", {})).refused("forbidden", 403)
    administrator, _ = await new_key(shop, None, "admin")
    (await administrator.get("/v1/ops/keys")).ok()


async def test_support_refunds_within_the_window_and_sends_again(shop: Shop) -> None:
    support, _ = await new_key(shop, None, "support")
    order = await (await shop.sell()).seat()
    act = f"/v1/ops/orders/{order['order_id']}/refund"
    (await support.get("/v1/ops/orders")).ok()
    assert "ops" in (await support.post(act, {"reason": "x", "force": True})).refused("forbidden", 403)["detail"]
    (await support.post(act, {"reason": "x"})).ok()
    (await support.post(f"/v1/ops/refunds/{order['order_id']}/resend")).ok()
    (await support.post(f"/v1/ops/refunds/{order['order_id']}/decision", {"approve": True})).refused("forbidden", 403)
    (await support.put("/v1/ops/switches/rollout", {"value": 100})).refused("forbidden", 403)


@pytest.mark.parametrize(("source", "scope"), [(SOURCE, "admin"), (None, "trade"), (SOURCE, "everything")])
async def test_a_key_has_scopes_that_fit(shop: Shop, source: str | None, scope: str) -> None:
    (await shop.ops.post("/v1/ops/keys", {"name": "x", "source": source, "scopes": [scope]})).refused("invalid_request", 422)


async def test_a_key_is_replaced_without_a_gap(shop: Shop) -> None:
    """Several are valid at once; a revoked one is refused at once."""
    source, old = await new_mall(shop)
    new, created = await new_key(shop, source, "trade")
    keys = (await shop.ops.get("/v1/ops/keys", source=source)).ok()["data"]
    assert keys[0]["key_id"] == created["key_id"]
    assert [set(key) for key in keys] == [
        {"key_id", "name", "source", "scopes", "created_at", "last_used_at", "revoked_at"}
    ] * 2
    for key in (old, new):
        (await key.get("/v1/orders", user_id="u")).ok()

    revoked = (await delete(shop.ops, f"/v1/ops/keys/{keys[1]['key_id']}")).ok()
    assert revoked["revoked_at"] is not None
    (await old.get("/v1/orders", user_id="u")).refused("unauthorized", 401)
    (await new.get("/v1/orders", user_id="u")).ok()
    assert (await delete(shop.ops, f"/v1/ops/keys/{keys[1]['key_id']}")).ok() == revoked

    async def used() -> Any:  # noqa: ANN401
        return (await shop.ops.get("/v1/ops/keys", source=source)).ok()["data"]

    await until(used, lambda keys: all(key["last_used_at"] for key in keys))


# --- who changed what ---


async def test_every_change_is_in_the_audit_without_a_secret(shop: Shop, api_log: Log) -> None:
    administrator, theirs_key = await new_key(shop, None, "admin")
    theirs = Shop(shop.mall, administrator, shop.other_mall)
    offer = await theirs.sell()
    await offer.change(name="Changed")
    source, _ = await new_mall(theirs)
    secret = (await administrator.post(f"/v1/ops/malls/{source}/webhook_secrets")).ok(201)["webhook_secret"]
    _, created = await new_key(theirs, source, "read")
    (await delete(administrator, f"/v1/ops/keys/{created['key_id']}")).ok()
    last = await administrator.put("/v1/ops/switches/rollout", {"value": 100})
    assert last.ok()

    found: list[Json] = []
    page: Json = {"next_cursor": ""}
    while page["next_cursor"] is not None:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = (await shop.ops.get("/v1/ops/audit", changed_by=theirs_key["name"], limit=3, **cursor)).ok()
        found += page["data"]
    kinds = [change["subject"].partition("/")[0] for change in found]
    assert kinds == ["switch", "key", "key", "mall", "key", "mall", "campaign", "campaign", "goods"]
    assert found[6]["content"]["name"] == "Changed"
    for word in (secret, created["key"]):
        assert word not in json.dumps(found)
    subject = f"campaign/{offer.campaign_id}"
    assert len((await shop.ops.get("/v1/ops/audit", subject=subject)).ok()["data"]) == 2
    (await shop.mall.get("/v1/ops/audit")).refused("forbidden", 403)

    request_id = last.headers["X-Request-Id"]
    by = {"key_id": theirs_key["key_id"], "request_id": request_id, "address": HOST}
    assert found[0] == {**found[0], **by, "via": "api", "action": "set", "changed": True}

    async def logged() -> list[Json]:
        return [json.loads(line) for line in api_log.lines() if request_id in line]

    [line] = await until(logged, bool)
    where = {"method": "PUT", "path": "/v1/ops/switches/rollout", "status": 200, "peer": HOST}
    assert line == {**line, **where, "logger": "groupbuy.access", "request_id": request_id, "key_id": theirs_key["key_id"]}


async def test_the_audit_is_exported_as_csv_and_json_lines(shop: Shop) -> None:
    administrator, key = await new_key(shop, None, "admin")
    goods_id = fresh("goods")
    (await administrator.put(f"/v1/ops/goods/{goods_id}", {"name": '=1+1, "書"', "original_price": "1.00"})).ok()
    selected = {"changed_by": key["name"], "subject": "goods", "since": key["created_at"]}

    [change] = (await shop.ops.get("/v1/ops/audit", **selected)).ok()["data"]
    jsonl = await shop.ops.get("/v1/ops/audit/export", format="jsonl", **selected)
    assert jsonl.headers["Content-Type"] == "application/jsonl"
    assert [json.loads(line) for line in jsonl.ok().splitlines()] == [change]
    answer = await shop.ops.get("/v1/ops/audit/export", **selected)
    [row] = csv.DictReader(io.StringIO(answer.ok().decode("utf-8-sig"), newline=""))
    assert answer.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    assert {name: row[name] for name in ("subject", "changed_by", "key_id", "reason", "changed")} == {
        "subject": f"goods/{goods_id}",
        "changed_by": key["name"],
        "key_id": key["key_id"],
        "reason": "",
        "changed": "true",
    }
    assert json.loads(row["content"]) == change["content"]
    assert (await shop.ops.get("/v1/ops/audit/export", until=key["created_at"], changed_by=key["name"])).ok() != b""
    (await shop.ops.get("/v1/ops/audit/export", format="xml")).refused("invalid_request", 422)
    (await shop.mall.get("/v1/ops/audit/export")).refused("forbidden", 403)


# --- limits ---


async def test_a_mall_that_asks_too_much_in_a_second_is_told_to_wait(shop: Shop) -> None:
    source, mall = await new_mall(shop, request_limit=5)
    answers = await asyncio.gather(*(mall.get("/v1/orders", user_id="u") for _ in range(15)))
    refused = [answer for answer in answers if answer.status != 200]
    assert 5 <= len(refused) <= 10  # 10, and one less for each fifth of a second that they take
    for answer in refused:
        answer.refused("rate_limited", 429)
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["RateLimit"] == '"mall";r=0;t=1'
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"mall";q=5;w=1'}
    (await shop.ops.put(f"/v1/ops/malls/{source}", {"name": "A mall", "request_limit": 5000})).ok()
    answer = await mall.get("/v1/orders", user_id="u")
    assert answer.ok()
    assert answer.headers["RateLimit-Policy"] == '"mall";q=5000;w=1'


async def test_failures_and_keys_of_operations_are_limited(stack: Stack, shop: Shop) -> None:
    settings = {
        "GROUPBUY_KEY_FAILURE_LIMIT": "3",
        "GROUPBUY_OPS_REQUEST_LIMIT": "4",
        "GROUPBUY_TRUSTED_PROXIES": "127.0.0.0/8",
    }
    async with another_api(stack, shop.ops, **settings) as ops:

        async def fail(address: str) -> Answer:
            return await ops.with_key("unknown").call("GET", "/v1/ops/malls", headers={"X-Forwarded-For": address})

        answers = await asyncio.gather(*(fail("192.0.2.1") for _ in range(20)))
        assert {(answer.status, answer.code) for answer in answers} == {(401, "unauthorized"), (429, "rate_limited")}
        assert {answer.headers.get("Retry-After") for answer in answers} == {None, "1"}
        (await fail("192.0.2.2")).refused("unauthorized", 401)

        headers = {"X-Forwarded-For": "192.0.2.1"}
        answers = await asyncio.gather(*(ops.call("GET", "/v1/ops/malls", headers=headers) for _ in range(20)))
        assert {answer.code for answer in answers} == {None, "rate_limited"}
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"operations";q=4;w=1'}
        (await ops.with_key(shop.mall.key).get("/v1/orders", user_id="u")).ok()


@pytest.mark.parametrize("together", [True, False], ids=["at once", "one by one"])
async def test_a_buyer_holds_20_unpaid_seats(shop: Shop, *, together: bool) -> None:
    offer = await shop.sell(take_limit=100, also_sold_by=["s02"])
    user = fresh("user")
    requests = [offer.request(user_id=user) for _ in range(25)]
    calls = [shop.mall.post("/v1/orders", request) for request in requests]
    answers = await asyncio.gather(*calls) if together else [await call for call in calls]
    taken = [answer.ok(201) for answer in answers if answer.status == 201]
    assert len(taken) == 20
    refused = [answer for answer in answers if answer.status != 201]
    for answer in refused:
        answer.refused("rate_limited", 429)
        assert 900 < int(answer.headers["Retry-After"]) <= 930

    # A repeat, another buyer and another mall are not concerned; a payment makes room.
    known = next(request for request in requests if request["out_trade_no"] == taken[0]["out_trade_no"])
    assert (await shop.mall.post("/v1/orders", known)).replayed
    await offer.seat()
    (await shop.other_mall.post("/v1/orders", offer.request(user_id=user))).ok(201)
    await shop.settle(taken[0])
    await offer.seat(user_id=user)
    (await offer.lock(user_id=user)).refused("rate_limited", 429)


# --- tags and pages ---


async def test_what_was_read_is_not_sent_again(shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    for path in (f"/v1/orders/{order['out_trade_no']}", f"/v1/teams/{order['team_id']}"):
        answer = await shop.mall.get(path)
        tag = answer.headers["ETag"]
        assert (answer.ok(), answer.headers["Cache-Control"]) == (answer.body, "private, no-cache")
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await shop.mall.call("GET", path, headers={"If-None-Match": known})
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
            assert "Content-Type" not in again.headers
        head = await shop.mall.call("HEAD", path)
        assert (head.status, head.body, head.headers["ETag"]) == (200, None, tag)
        assert head.headers["Content-Length"] == answer.headers["Content-Length"]
        await shop.settle(order) if "orders" in path else await offer.seat(team_id=order["team_id"])
        changed = await shop.mall.call("GET", path, headers={"If-None-Match": tag})
        assert changed.ok() != answer.body
        assert changed.headers["ETag"] != tag
    assert "ETag" not in (await shop.mall.get("/v1/orders/unknown")).headers
    assert "ETag" not in (await shop.mall.get("/healthz")).headers
    assert (await shop.mall.with_key(None).call("HEAD", "/healthz")).status == 200
    assert (await shop.mall.call("HEAD", "/v1/quotes")).status == 405


async def test_the_type_of_a_problem_leads_to_a_page(shop: Shop) -> None:
    problem = (await shop.mall.get("/v1/orders/unknown")).refused("order_not_found", 404)
    nobody = shop.mall.with_key(None)
    explained = (await nobody.get(problem["type"])).ok()
    assert (explained["code"], explained["status"], explained["title"]) == ("order_not_found", 404, problem["title"])
    page = await nobody.call("GET", problem["type"], headers={"Accept": "text/html,*/*"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert explained["advice"].encode() in page.body
    codes = [each["code"] for each in (await nobody.get("/problems")).ok()["data"]]
    index = await nobody.call("GET", "/problems", headers={"Accept": "text/html"})
    for code in codes:
        assert f'"problems/{code}"'.encode() in index.body
    (await nobody.get("/problems/none")).refused("not_found", 404)


async def test_openapi_says_who_needs_a_key(shop: Shop) -> None:
    described = (await shop.mall.with_key(None).get("/openapi.json")).ok()
    [(name, scheme)] = described["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, calls in described["paths"].items():
        for call in calls.values():
            assert call.get("security", []) == ([{name: []}] if path.startswith("/v1/") else [])


# --- more than one process, and none ---


async def test_a_revoked_key_is_refused_by_every_process_within_a_second(stack: Stack, shop: Shop) -> None:
    key, created = await new_key(shop, SOURCE, "read")
    async with another_api(stack, shop.mall) as there:
        for caller in (key, there.with_key(key.key)):
            for _ in range(3):
                (await caller.get("/v1/orders", user_id="u")).ok()
        (await delete(shop.ops, f"/v1/ops/keys/{created['key_id']}")).ok()
        await until(lambda: there.with_key(key.key).get("/v1/orders", user_id="u"), lambda answer: answer.status == 401, 1)


def create_key(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GROUPBUY_")}
    command = [str(GROUPBUY), "admin", "create-key", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**kept, **(environment or {})}, check=False, timeout=60)


async def test_the_first_key_is_made_at_the_command_line(stack: Stack, shop: Shop, tmp_path: Path) -> None:
    addresses = stack.addresses
    made = [
        await asyncio.to_thread(create_key, "--name", "root", "--data-dir", addresses.data_dir),
        await asyncio.to_thread(create_key, "--name", "root 2", environment={"GROUPBUY_DATABASE_URL": addresses.database_url}),
    ]
    for run in made:
        assert (run.returncode, run.stderr) == (0, "")
        (await shop.mall.with_key(run.stdout.strip()).get("/v1/ops/keys")).ok()
    nowhere = await asyncio.to_thread(create_key, "--name", "x", "--data-dir", str(tmp_path))
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert nowhere.stderr.startswith("groupbuy: no stack runs")
    url, away = addresses.database_url, "postgresql://postgres@127.0.0.1:1/groupbuy"
    for database_url, name, source, scope, reason in (
        (url, "x", "s99", "trade", "no mall s99"),
        (url, "x", None, "trade", "^a key of operations has the scopes"),
        (url, "", None, "ops", "at least 1 character"),
        (url, "root", None, "ops", "another key is or was called root"),
        (away, "x", None, "ops", "cannot be used"),
        ("nonsense", "x", None, "ops", "cannot be used"),
    ):
        with pytest.raises(StackError, match=reason):
            await issue_key(database_url, name, source, [scope])
