"""What operators do in the console: asked first, done once, recorded under their name."""

import asyncio

from tests.api.console.conftest import SignIn
from tests.api.polling import until
from tests.api.shop import Shop, fresh


async def test_closing_a_team_says_whom_it_refunds_and_is_done_once(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    first, second = await offer.seats(2)
    await shop.settle(first)
    team = first["team_id"]
    name = fresh("ann")
    ann = await sign_in("ops", name)

    asked = await ann.get(f"/teams/{team}/close")
    assert "Paid members who are refunded: 1, together" in asked.text
    assert "¥80.00" in asked.text
    assert "Unpaid seats that are cancelled: 1." in asked.text
    assert first["user_id"] in asked.text
    assert second["user_id"] not in asked.text

    refused = await ann.post(f"/teams/{team}/close", asked.hidden() | {"reason": ""})
    assert refused.status == 422
    form = asked.hidden() | {"reason": "the goods are sold out"}
    # A double click: both requests are the same act.
    answers = await asyncio.gather(*(ann.post(f"/teams/{team}/close", form) for _ in range(2)))
    assert {answer.status for answer in answers} <= {303, 409}
    assert 303 in {answer.status for answer in answers}
    await shop.until_team(team, "failed")
    await shop.until_order(first, "refunded")

    changes = (await shop.ops.get("/v1/ops/audit", subject=f"team/{team}")).ok()["data"]
    acts = [(change["changed_by"], change["via"], change["action"], change["changed"], change["reason"]) for change in changes]
    assert acts == [(name, "console", "close", True, "the goods are sold out")]

    page = await ann.get(f"/teams/{team}")
    assert "The team failed" in page.text
    assert page.text.index("The team was opened") < page.text.index("took a seat for") < page.text.index("The team failed")
    assert f"<bdi>{name}</bdi>" in page.text
    toast = await ann.get("/")
    assert "Done." not in toast.text  # the team's page has shown it


async def test_an_act_on_a_team_that_has_changed_is_asked_again(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    ann = await sign_in("ops")
    asked = await ann.get(f"/teams/{order['team_id']}/close")
    await shop.settle(order)
    answer = await ann.post(f"/teams/{order['team_id']}/close", asked.hidden() | {"reason": "x"})
    assert answer.status == 409
    assert "has changed since you opened this" in answer.text
    assert "Paid members who are refunded: 1, together" in answer.text
    assert (await shop.team(order["team_id"]))["status"] == "forming"


async def test_a_team_is_extended_and_completed(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    paid, _ = await offer.seats(2)
    await shop.settle(paid)
    team = paid["team_id"]
    ann = await sign_in("ops")
    before = (await shop.team(team))["deadline"]
    answer = await ann.act(f"/teams/{team}/extend", minutes="30", reason="a holiday")
    assert answer.status == 303
    assert (await shop.team(team))["deadline"] > before
    assert (await ann.act(f"/teams/{team}/extend", minutes="0", reason="x")).status == 422
    assert (await ann.act(f"/teams/{team}/complete", reason="good enough")).status == 303
    assert (await shop.team(team))["status"] == "completed"


async def test_support_refunds_within_the_window_and_operators_force(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell(refund_window=0, target_count=2)
    orders = await offer.seats(2)
    await shop.settle(*orders)
    order = orders[0]
    support, operator = await sign_in("support"), await sign_in("ops")
    asked = await support.get(f"/orders/{order['order_id']}/refund")
    assert "The refund window is over" in asked.text
    assert 'name="force"' not in asked.text
    forced = await support.post(f"/orders/{order['order_id']}/refund", asked.hidden() | {"reason": "x", "force": "true"})
    assert forced.status == 403
    closed = await support.act(f"/orders/{order['order_id']}/refund", reason="x")
    assert (closed.status, "refund_window_closed" in closed.text) == (409, True)

    done = await operator.act(f"/orders/{order['order_id']}/refund", reason="a kindness", force="true")
    assert done.status == 303
    await shop.until_order(order, "refunded")
    page = await operator.get(f"/orders/{order['order_id']}")
    assert "The mall is asked whether the member may leave" in page.text
    assert "a kindness" in page.text


async def test_a_campaign_is_created_changed_paused_and_ended(sign_in: SignIn, shop: Shop) -> None:
    goods_id = await shop.put_goods()
    ann = await sign_in("ops")
    form = (await ann.get("/campaigns/new")).hidden() | {
        "name": "Spring",
        "status": "active",
        "starts_at": "2026-01-01T00:00",
        "ends_at": "2099-01-01T00:00",
        "goods": f"s01 c01 {goods_id}",
        "discount.plan": "cut",
        "discount.expr": "99.5",
        "target_count": "3",
        "lock_ttl": "900",
        "payment_grace": "30",
        "team_ttl": "86400",
        "refund_window": "604800",
        "take_limit": "1",
    }
    preview = await ann.post("/campaigns/preview", form)
    assert "¥0.50" in preview.text
    assert "would be sold for 0.50" in preview.text
    risky = await ann.post("/campaigns/new", form)
    assert (risky.status, "This may lose money:" in risky.text) == (409, True)
    wrong = await ann.post("/campaigns/new", form | {"target_count": "1", "discount.expr": "x"})
    assert (wrong.status, "greater than or equal to 2" in wrong.text) == (422, True)
    created = await ann.post("/campaigns/new", form | {"discount.expr": "20"})
    assert created.status == 303, created.text
    address = created.location.removeprefix("/console")
    campaign_id = address.rpartition("/")[2]

    edit = await ann.get(f"{address}/edit")
    changed = form | edit.hidden() | {"discount.expr": "30"}
    assert (await ann.post(f"{address}/edit", changed)).status == 303
    stale = await ann.post(f"{address}/edit", changed | {"discount.expr": "40"})
    assert (stale.status, "Nothing was saved: this has changed since" in stale.text) == (409, True)
    page = await ann.get(address)
    assert "¥70.00" in page.text
    assert "<strong>v2</strong>" in page.text

    assert (await ann.act(f"{address}/status/paused")).status == 303
    assert (await shop.ops.get(f"/v1/ops/campaigns/{campaign_id}")).ok()["status"] == "paused"
    assert (await ann.act(f"{address}/ending", reason="over")).status == 303

    async def look() -> str:
        return (await ann.get(address)).text

    text = await until(look, lambda seen: "The end of the campaign" in seen)
    assert "over" in text


async def test_an_end_that_would_undo_more_than_was_seen_is_asked_again(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    ann = await sign_in("ops")
    asked = await ann.get(f"/campaigns/{offer.campaign_id}/ending")
    await shop.settle(await offer.seat())
    answer = await ann.post(f"/campaigns/{offer.campaign_id}/ending", asked.hidden() | {"reason": "x"})
    assert (answer.status, "The figures have changed" in answer.text) == (409, True)
    assert "Forming teams that fail: 1. Paid members who are refunded: 1, together" in answer.text


async def test_goods_audiences_and_switches_are_changed(sign_in: SignIn, shop: Shop) -> None:
    ann = await sign_in("ops")
    goods_id, audience_id = fresh("goods"), fresh("audience")
    assert (await ann.act("/goods/new", goods_id=goods_id, name="A lamp", original_price="1")).status == 303
    assert (await ann.act(f"/goods/{goods_id}", name="A lamp", original_price="x")).status == 422
    assert (await ann.act(f"/goods/{goods_id}", name="A lamp", original_price="2.50")).status == 303
    assert (await shop.ops.get(f"/v1/ops/goods/{goods_id}")).ok()["original_price"] == "2.50"

    assert (await ann.act("/audiences/new", audience_id=audience_id, name="Friends")).status == 303
    token = (await ann.get("/switches/rollout")).hidden()["form_token"]
    async with ann.http.post(
        f"{shop.ops.base_url}/console/audiences/{audience_id}/members",
        data=b"user_id\nu1\nu2\n",
        headers={"Content-Type": "text/csv", "X-Form-Token": token, "HX-Request": "true"},
    ) as response:
        assert response.status == 204
    assert "badge good" in (await ann.get(f"/audiences/{audience_id}?user_id=u1")).text
    rule = await ann.act(f"/audiences/{audience_id}/rule", since="2026-01-01T00:00", until="2025-01-01T00:00")
    assert rule.status == 422

    assert (await ann.act("/switches/rollout", value="101")).status == 422
    assert (await ann.act("/switches/blocked", value="s99 c99\ns98 c98")).status == 303
    blocked = (await shop.ops.get("/v1/ops/switches/blocked")).ok()["value"]
    assert blocked == [{"source": "s99", "channel": "c99"}, {"source": "s98", "channel": "c98"}]
    assert (await ann.act("/switches/blocked", value="")).status == 303


async def test_a_key_is_shown_once_and_revoked(sign_in: SignIn, shop: Shop) -> None:
    root = await sign_in("admin")
    name = fresh("a new key")
    created = await root.act("/keys/new", name=name, scopes="ops")
    assert created.status == 201
    key = created.text.partition('class="secret">')[2].partition("<")[0]
    (await shop.ops.with_key(key).get("/v1/ops/teams")).ok()
    key_id = next(each["key_id"] for each in (await shop.ops.get("/v1/ops/keys")).ok()["data"] if each["name"] == name)
    listed = await root.get("/keys")
    assert key not in listed.text
    assert (await root.act("/keys/new", name=name, scopes="ops")).status == 422
    assert (await root.act(f"/keys/{key_id}/revoke")).status == 303
    (await shop.ops.with_key(key).get("/v1/ops/teams")).refused("unauthorized", 401)


async def test_a_mall_is_admitted_and_its_secret_rotated(sign_in: SignIn, shop: Shop) -> None:
    root = await sign_in("admin")
    source = fresh("m")[:12]
    fields = {"source": source, "name": "A mall", "request_limit": "100", "callback_hosts": "shop.example"}
    refused = await root.act("/malls/new", **fields, callback_to="https://elsewhere.example/callbacks")
    assert (refused.status, "callback.url" in refused.text) == (422, True)
    assert (await root.act("/malls/new", **fields, callback_to="https://shop.example/callbacks")).status == 303
    mall = (await shop.ops.get(f"/v1/ops/malls/{source}")).ok()
    assert (mall["callback"]["url"], mall["request_limit"]) == ("https://shop.example/callbacks", 100)
    for _ in range(2):
        secret = await root.act(f"/malls/{source}/secret")
        assert (secret.status, "whsec_" in secret.text) == (201, True)
    page = await root.get(f"/malls/{source}")
    assert "Drop the previous secret" in page.text
    assert (await root.post(f"/malls/{source}/drop_secret", page.hidden())).status == 303
    assert "Drop the previous secret" not in (await root.get(f"/malls/{source}")).text
