"""A form that is sent twice does once what it says, and the second answer is the first."""

import asyncio

from tests.api.audit import audit_of
from tests.api.console.conftest import Answer, Person, SignIn
from tests.api.receiver import Receiver
from tests.api.shop import Shop, fresh

SHOWN = 'class="secret">'


async def clicked_twice(person: Person, path: str, page: Answer, **fields: str) -> Answer:
    """Sends the form of a page twice at once, and once more later; returns the answer, which is always the same."""
    form = page.hidden() | fields
    answers = [*await asyncio.gather(*(person.post(path, form) for _ in range(2))), await person.post(path, form)]
    told = {(answer.status, answer.location, answer.text.partition(SHOWN)[2].partition("<")[0]) for answer in answers}
    assert len(told) == 1, told
    return answers[0]


async def test_a_double_click_makes_one_webhook_secret(sign_in: SignIn, shop: Shop) -> None:
    root = await sign_in("admin")
    source = fresh("m")[:12]
    (await shop.ops.put(f"/v1/ops/malls/{source}", {"name": "A mall"})).ok()
    (await shop.ops.post(f"/v1/ops/malls/{source}/webhook_secrets", {})).ok(201)
    path = f"/malls/{source}/secret"
    page = await root.get(path)
    made = await clicked_twice(root, path, page)
    assert (made.status, f"{SHOWN}whsec_" in made.text) == (201, True)
    # One change: so the other valid secret is the one that the mall had.
    assert [change["content"]["webhook_secrets"] for change in await audit_of(shop, f"mall/{source}")] == [0, 1, 2]

    assert (await root.act(path)).text != made.text
    assert (await root.post(f"/malls/{source}/drop_secret", (await root.get(f"/malls/{source}")).hidden())).status == 303
    late = await root.post(path, page.hidden())
    assert (late.status, "has made a secret before, which is not valid any more" in late.text) == (422, True)
    assert (await shop.ops.get(f"/v1/ops/malls/{source}")).ok()["webhook_secrets"] == 1


async def test_a_double_click_makes_one_key_and_shows_it(sign_in: SignIn, shop: Shop) -> None:
    root = await sign_in("admin")
    name = fresh("a key")
    page = await root.get("/keys/new")
    made = await clicked_twice(root, "/keys/new", page, name=name, scopes="ops")
    assert made.status == 201
    key = made.text.partition(SHOWN)[2].partition("<")[0]
    (await shop.ops.with_key(key).get("/v1/ops/teams")).ok()
    [listed] = [each for each in (await shop.ops.get("/v1/ops/keys")).ok()["data"] if each["name"] == name]
    assert len(await audit_of(shop, f"key/{listed['key_id']}")) == 1

    assert (await root.act(f"/keys/{listed['key_id']}/revoke")).status == 303
    late = await root.post("/keys/new", page.hidden() | {"name": name, "scopes": "ops"})
    assert (late.status, "which is revoked" in late.text, key in late.text) == (422, True, False)


async def test_a_double_click_makes_one_campaign(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    ann = await sign_in("ops")
    path = f"/campaigns/new?copy={offer.campaign_id}"
    page = await ann.get(path)
    name = fresh("campaign")
    made = await clicked_twice(
        ann,
        "/campaigns/new",
        page,
        name=name,
        status="draft",
        starts_at="2026-01-01T00:00",
        ends_at="2099-01-01T00:00",
        goods=f"s01 c01 {offer.goods_id}",
        target_count="3",
        lock_ttl="900",
        payment_grace="30",
        team_ttl="86400",
        refund_window="604800",
        take_limit="1",
        **{"discount.plan": "cut", "discount.expr": "20"},
    )
    assert made.status == 303, made.text
    campaigns = (await shop.ops.get("/v1/ops/campaigns", status="draft")).ok()["data"]
    made_ids = [f"/console/campaigns/{each['campaign_id']}" for each in campaigns if each["name"] == name]
    assert made_ids == [made.location]


async def test_a_double_click_sends_an_event_again_once(sign_in: SignIn, shop: Shop, receiver: Receiver) -> None:
    order = await (await shop.sell()).seat(callback=receiver.callback())
    await shop.refund(order)
    event = (await receiver.of_type("order.cancelled"))[0].event_id
    ann = await sign_in("ops")

    async def resends() -> list[bool]:
        return [change["changed"] for change in await audit_of(shop, f"callback/{event}")]

    sent = await clicked_twice(ann, f"/callbacks/{event}/resend", await ann.get(f"/callbacks/{event}"))
    assert (sent.status, await resends()) == (303, [True])
    await receiver.of_type("order.cancelled", 2)
    listed = await ann.get(f"/callbacks?event_id={event}")
    ticked = await clicked_twice(ann, "/callbacks/resend_selected", listed, event_id=event)
    assert (ticked.status, await resends()) == (303, [True, True])
    await receiver.of_type("order.cancelled", 3)

    period = {"source": "s01", "since": "2026-01-01T00:00", "until": "2026-01-01T00:01", "status": "dead"}
    ranged = await clicked_twice(ann, "/callbacks/resend", await ann.get("/callbacks/resend"), **period)
    assert ranged.location.startswith("/console/callbacks/resend/")
    again = await ann.act("/callbacks/resend", **period)
    assert again.location != ranged.location  # the first is finished, and this form is another act


async def test_a_double_click_selects_members_once(sign_in: SignIn, shop: Shop) -> None:
    audience = fresh("audience")
    (await shop.ops.put(f"/v1/ops/audiences/{audience}", {"name": "Friends"})).ok()
    ann = await sign_in("ops")
    path = f"/audiences/{audience}/rule"
    period = {"since": "2026-01-01T00:00", "until": "2026-01-01T00:01", "min_orders": "1"}
    started = await clicked_twice(ann, path, await ann.get(path), **period)
    assert (started.status, started.location) == (303, f"/console/audiences/{audience}")
    began = (await shop.ops.get(f"/v1/ops/audiences/{audience}")).ok()["filling"]["filling"]
    assert [act["changed"] for act in await audit_of(shop, f"audience_import/{began}")] == [True]
    assert await audit_of(shop, f"audience_import/{began + 1}") == []


async def test_a_double_click_settles_what_waits_once(sign_in: SignIn, shop: Shop) -> None:
    order = await (await shop.sell()).seat()
    await shop.settle(order)
    (await shop.pay(order, "79.00")).refused("out_trade_no_reused", 422)
    ann = await sign_in("ops")
    path = f"/attention/payment_conflict/{order['order_id']}/resolve"
    settled = await clicked_twice(ann, path, await ann.get(path), reason="cleared with the mall")
    assert settled.status == 303
    acts = await audit_of(shop, f"payment_conflict/{order['order_id']}")
    assert [(act["action"], act["changed"]) for act in acts] == [("resolve", True)]
