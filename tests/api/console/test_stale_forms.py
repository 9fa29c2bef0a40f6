"""A form that was opened before somebody else's change changes nothing, and says what has changed."""

import asyncio

from tests.api.audit import audit_of
from tests.api.console.conftest import Answer, Person, SignIn
from tests.api.shop import Shop, fresh

STALE = "Nothing was saved: this has changed since you opened the page."


async def two(sign_in: SignIn, scope: str = "ops") -> tuple[Person, Person, str]:
    """Two persons, and the name of the first."""
    name = fresh("ann")
    return await sign_in(scope, name), await sign_in(scope), name


def assert_stale(answer: Answer, *told: str) -> None:
    assert (answer.status, STALE in answer.text) == (409, True), answer.text
    for text in told:
        assert text in answer.text


async def test_goods_and_their_price(sign_in: SignIn, shop: Shop) -> None:
    goods_id = await shop.put_goods("10.00")
    ann, bob, name = await two(sign_in)
    path, fields = f"/goods/{goods_id}", {"name": "A lamp", "original_price": "12.00"}
    seen = await bob.get(path)
    saved = [await ann.post(path, form | fields) for form in [(await ann.get(path)).hidden()] for _ in range(2)]
    assert [answer.status for answer in saved] == [303, 303]  # a double click of one person is no other's change
    assert len(await audit_of(shop, f"goods/{goods_id}")) == 2
    stale = await bob.post(path, seen.hidden() | fields | {"original_price": "8.00"})
    assert_stale(stale, "<del>10.00</del> → <ins>12.00</ins>", f"<bdi>{name}</bdi>", 'value="8.00"')
    assert (await shop.ops.get(f"/v1/ops/goods/{goods_id}")).ok()["original_price"] == "12.00"
    # Having seen that, the same person may send it.
    assert (await bob.post(path, stale.hidden() | fields | {"original_price": "8.00"})).status == 303


async def test_of_two_changes_at_once_one_is_refused(sign_in: SignIn, shop: Shop) -> None:
    goods_id, source = await shop.put_goods(), fresh("m")[:12]
    offer = await shop.sell()
    (await shop.ops.put(f"/v1/ops/malls/{source}", {"name": "A mall"})).ok()
    ann, bob, _ = await two(sign_in, "admin")
    for path, fields in (
        (f"/goods/{goods_id}", {"name": "{}", "original_price": "5.00"}),
        (f"/malls/{source}/edit", {"name": "{}", "request_limit": "100"}),
        (f"/malls/{source}/secret", {"note": "{}"}),
        (f"/campaigns/{offer.campaign_id}/status/paused", {"note": "{}"}),
        ("/malls/new", {"source": fresh("m")[:12], "name": "{}", "request_limit": "100"}),
    ):
        forms = [(await person.get(path)).hidden() for person in (ann, bob)]
        sent = [form | {key: text.format(n) for key, text in fields.items()} for n, form in enumerate(forms)]
        answers = await asyncio.gather(ann.post(path, sent[0]), bob.post(path, sent[1]))
        first, second = sorted(answer.status for answer in answers)
        assert (first in (201, 303), second in (409, 422)) == (True, True), (path, first, second)


async def test_a_new_audience_renames_no_other(sign_in: SignIn, shop: Shop) -> None:
    audience_id = fresh("audience")
    ann = await sign_in("ops")
    form = (await ann.get("/audiences/new")).hidden() | {"audience_id": audience_id, "name": "Friends"}
    assert {(await ann.post("/audiences/new", form)).status for _ in range(2)} == {303}
    taken = await ann.act("/audiences/new", audience_id=audience_id, name="Foes")
    assert (taken.status, f"There is an audience {audience_id} already." in taken.text) == (422, True)
    assert [change["content"]["name"] for change in await audit_of(shop, f"audience/{audience_id}")] == ["Friends"]


async def test_a_mall_and_its_secrets(sign_in: SignIn, shop: Shop) -> None:
    source = fresh("m")[:12]
    mall, rotate = f"/v1/ops/malls/{source}", f"/v1/ops/malls/{source}/webhook_secrets"
    (await shop.ops.put(mall, {"name": "A mall", "request_limit": 100})).ok()
    for _ in range(2):
        (await shop.ops.post(rotate, {})).ok(201)
    root = await sign_in("admin")
    edit, drop, secret = [await root.get(f"/malls/{source}{page}") for page in ("/edit", "", "/secret")]
    (await shop.ops.put(mall, {"name": "A mall", "request_limit": 50})).ok()
    fields = {"name": "Another name", "request_limit": "100"}
    assert_stale(await root.post(f"/malls/{source}/edit", edit.hidden() | fields), "<del>100</del> → <ins>50</ins>")
    assert_stale(await root.post(f"/malls/{source}/drop_secret", drop.hidden()))
    assert_stale(await root.post(f"/malls/{source}/secret", secret.hidden()))
    found = (await shop.ops.get(mall)).ok()
    assert (found["name"], found["request_limit"], found["webhook_secrets"]) == ("A mall", 50, 2)


async def test_a_campaign_and_its_status(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    ann = await sign_in("ops")
    path = f"/campaigns/{offer.campaign_id}"
    edit, pause = await ann.get(f"{path}/edit"), await ann.get(f"{path}/status/paused")
    (await shop.ops.patch(f"/v1/ops{path}", {"take_limit": 7})).ok()
    fields = {
        "name": "Spring",
        "status": "active",
        "starts_at": "2026-01-01T00:00",
        "ends_at": "2099-01-01T00:00",
        "goods": f"s01 c01 {offer.goods_id}",
        "discount.plan": "cut",
        "discount.expr": "20",
        "target_count": "3",
        "lock_ttl": "900",
        "payment_grace": "30",
        "team_ttl": "86400",
        "refund_window": "604800",
        "take_limit": "1",
    }
    assert_stale(await ann.post(f"{path}/edit", edit.hidden() | fields), "<ins>7</ins>", 'value="Spring"')
    refused = await ann.post(f"{path}/status/paused", pause.hidden())
    assert_stale(refused, "<ins>7</ins>")
    campaign = (await shop.ops.get(f"/v1/ops{path}")).ok()
    assert (campaign["status"], campaign["take_limit"]) == ("active", 7)
    assert (await ann.post(f"{path}/status/paused", refused.hidden())).status == 303


async def test_a_switch(sign_in: SignIn, shop: Shop) -> None:
    ann, bob, name = await two(sign_in)
    seen = await bob.get("/switches/blocked")
    assert (await ann.act("/switches/blocked", value="s97 c97")).status == 303
    stale = await bob.post("/switches/blocked", seen.hidden() | {"value": "s96 c96"})
    assert_stale(stale, "<ins>s97 c97</ins>", f"<bdi>{name}</bdi>", "s96 c96")
    assert (await shop.ops.get("/v1/ops/switches/blocked")).ok()["value"] == [{"source": "s97", "channel": "c97"}]
    assert (await bob.post("/switches/blocked", stale.hidden() | {"value": ""})).status == 303
