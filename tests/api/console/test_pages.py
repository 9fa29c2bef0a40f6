"""What the pages show: what is there, what is searched for, and text of others as text."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from temporalio.client import Client

from embedded.stack import Stack
from tests.api.console.conftest import FIELD, HOSTILE, Answer, Person, SignIn
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Shop, fresh

DAY = timedelta(days=1)
CHANGES = re.compile(r'data-changes="([^"]+)"')
VISIBLE = re.compile(r'<input (?!type="checkbox")[^>]*name="([^"]+)" value="([^"]*)"')
FORM = re.compile(r'<form method="post" action="([^"]+/exports/[^"]+)">(.*?)</form>', re.DOTALL)


async def test_hostile_names_stay_text(sign_in: SignIn, shop: Shop) -> None:
    goods_id = fresh("goods")
    ann = await sign_in("admin", f"{HOSTILE}{fresh('')}")
    assert (await ann.act("/goods/new", goods_id=goods_id, name=HOSTILE, original_price="100")).status == 303
    offer = await shop.sell(name=HOSTILE)
    order = await offer.seat()
    assert (await ann.act(f"/orders/{order['order_id']}/refund", reason=HOSTILE)).status == 303
    await shop.until_order(order, "cancelled")
    for path in (
        "/",
        "/goods",
        "/campaigns",
        f"/campaigns/{offer.campaign_id}",
        f"/campaigns/{offer.campaign_id}/edit",
        "/audit",
        "/keys",
        "/refunds",
        f"/teams/{order['team_id']}",
        f"/orders/{order['order_id']}",
    ):
        page = await ann.get(path)
        assert page.status == 200
        assert "<img" not in page.text
        assert "𠮷🍎" in page.text


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_page_is_in_the_language_of_the_person(sign_in: SignIn, language: str) -> None:
    ann = await sign_in("read")
    accepted = {"zh": "zh-CN,zh;q=0.9,en;q=0.8", "en": "en-GB"}[language]
    first = await ann.get("/teams", Accept_Language=accepted)
    assert ("队伍" in first.text, "<h1>Teams" in first.text) == (language == "zh", language == "en")
    other = "en" if language == "zh" else "zh"
    assert (await ann.get(f"/language/{other}?after=/console/teams")).location == "/console/teams"
    assert ("队伍" in (await ann.get("/teams", Accept_Language=accepted)).text) is (other == "zh")
    assert "after=%2Fconsole%2Fteams%3Fstatus%3Dfailed" in (await ann.get("/teams?status=failed&source=")).text


async def test_the_first_page_has_today_s_figures_and_when_reconciliation_had_seen_all(sign_in: SignIn, shop: Shop) -> None:
    async def counted() -> int:
        return len((await shop.ops.get("/v1/ops/statistics")).ok()["data"])

    await until(counted, lambda days: days >= 31)
    ann = await sign_in("read")
    assert 'id="today"' in (await ann.get("/")).text
    assert "Reconciliation had last seen all" in (await ann.get("/health")).text


async def test_a_forming_team_says_how_long_it_has(sign_in: SignIn, shop: Shop) -> None:
    order = await (await shop.sell()).seat()
    ann = await sign_in("read")
    page = await ann.get(f"/teams/{order['team_id']}", Accept_Language="en")
    assert re.search(r'role="timer"[^>]*>[0-9 d]*\d\d:\d\d:\d\d<', page.text)
    # Temporal lists a run a moment after it has begun.
    told = await until(lambda: ann.get(f"/teams/{order['team_id']}"), lambda seen: "A workflow began" in seen.text)
    assert "A workflow began: team" in told.text
    assert re.search(r"<summary><span class=.money.>¥80.00.*¥100.00.* − .*¥20.00", told.text)
    older = await ann.get(f"/teams/{order['team_id']}?before=2")
    assert ("The team was opened" in older.text, "took a seat" in older.text, "newest entries" in older.text) == (
        True,
        False,
        True,
    )


async def test_the_preview_of_a_campaign_says_what_the_quote_will(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell(stock=5, take_limit=1)
    await offer.seat(user_id="ann")
    person = await sign_in("ops")
    told = []
    form = await person.get(f"/campaigns/{offer.campaign_id}/edit")
    fields = form.hidden() | {name: unescape(value) for name, value in VISIBLE.findall(form.text)}
    fields |= {"goods": f"s01 c01 {offer.goods_id}", "status": "active", "discount.plan": "cut", "buyer": "ann"}
    preview = await person.post("/campaigns/preview", fields)
    quote = await person.get(f"/campaigns/{offer.campaign_id}/quote?user_id=ann&sold=s01+c01+{offer.goods_id}")
    for page in (preview, quote):
        text = page.text.partition('<ul class="rules">')[2].partition("</ul>")[0]
        told.append(re.sub(r"<time.*?</time>", "", text))
    assert told[0] == told[1]
    assert told[0].count("✗") == 1
    assert "take_limit_reached" in told[0]
    assert "stock left = 4" in told[0]
    less = (await person.post("/campaigns/preview", fields | {"stock": "1", "take_limit": "2"})).text
    assert "stock_exhausted" in less
    assert "take_limit_reached" not in less


async def test_search_goes_to_what_was_found(sign_in: SignIn, shop: Shop) -> None:
    order = await (await shop.sell()).seat()
    ann = await sign_in("read")
    assert (await ann.get(f"/search?q={order['team_id']}")).location == f"/console/teams/{order['team_id']}"
    assert (await ann.get(f"/search?q={order['out_trade_no']}")).location == f"/console/orders/{order['order_id']}"
    assert (await ann.get(f"/search?q={order['user_id']}")).location == f"/console/orders?user_id={order['user_id']}"
    for nothing in (fresh("nothing"), "%3Cb%3E"):
        assert (await ann.get(f"/search?q={nothing}")).status == 404


async def test_lists_are_filtered_by_their_address(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    ann = await sign_in("read")
    for path in (
        f"/teams?campaign_id={offer.campaign_id}&status=forming&source=&cursor=",
        f"/orders?user_id={order['user_id']}&status=",
        f"/campaigns/{offer.campaign_id}",
    ):
        page = await ann.get(path)
        assert (page.status, order["team_id"] in page.text) == (200, True)
    assert order["team_id"] not in (await ann.get(f"/teams?campaign_id={offer.campaign_id}&status=failed")).text
    name = f">{offer.campaign_id}<"
    assert name in (await ann.get(f"/campaigns?goods_id={offer.goods_id}&source=s01&status=active")).text
    assert name not in (await ann.get(f"/campaigns?goods_id={offer.goods_id}&source=s02")).text
    goods = f"<code>{offer.goods_id}</code>"
    for filters, is_there in ((f"goods_id={offer.goods_id}&source=", True), (f"goods_id={offer.goods_id}&source=s02", False)):
        assert (goods in (await ann.get(f"/goods?{filters}")).text) is is_there
    wrong = await ann.get("/teams?status=none")
    assert (wrong.status, "<code>status</code>" in wrong.text) == (422, True)
    for path in ("/teams/none", "/orders/none", "/refunds/none/resend", "/callbacks/none", "/campaigns/1", "/nowhere"):
        assert (await ann.get(path)).status in {403, 404}


async def test_a_callback_shows_its_attempts_and_is_sent_again(sign_in: SignIn, shop: Shop, receiver: Receiver) -> None:
    order = await (await shop.sell()).seat(callback=receiver.callback())
    await shop.refund(order)
    event = (await receiver.of_type("order.cancelled"))[0].event_id
    support = await sign_in("support")
    page = await support.get(f"/callbacks/{event}")
    assert receiver.callback()["url"] in page.text
    assert (await support.post(f"/callbacks/{event}/resend", page.hidden())).status == 303
    await receiver.of_type("order.cancelled", 2)
    listed = await support.get(f"/callbacks?event_id={event}")
    assert event in listed.text
    today = datetime.now(UTC).date()
    for period, is_there in ((f"since={today - DAY}T00:00", True), (f"until={today - DAY}T23:59:59", False)):
        assert (event in (await support.get(f"/callbacks?source=s01&{period}")).text) is is_there
        followed = CHANGES.search((await support.get(f"/callbacks?event_id={event}&{period}")).text)
        assert followed is not None
        async with support.http.get(shop.ops.base_url + unescape(followed[1])) as stream:
            assert stream.status == 200
    assert (await support.post("/callbacks/resend_selected", listed.hidden() | {"event_id": event})).status == 303
    assert "1 / 1" in (await support.get("/callbacks")).text


async def exported(person: Person, path: str, query: str) -> Answer:
    """Presses the button of a list, twice, and downloads the file when it is there."""
    form = FORM.search((await person.get(f"/{path}?{query}")).text)
    assert form is not None
    fields = dict(FIELD.findall(form[2]))
    pressed = [await person.post(unescape(form[1]).removeprefix("/console"), fields) for _ in range(2)]
    assert {answer.status for answer in pressed} == {303}
    (page,) = {answer.location.removeprefix("/console") for answer in pressed}
    await until(lambda: person.get(page), lambda answer: 'class="badge good"' in answer.text)
    return await person.get(f"{page}/file")


async def test_lists_are_exported_whole_and_safe_for_spreadsheets(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    first = await offer.seat()
    orders = [first, *[await offer.seat(team_id=first["team_id"]) for _ in range(2)]]
    await shop.refund(orders[1])
    ann = await sign_in("read")
    for path, count in (("orders", 3), ("teams", 1)):
        file = await exported(ann, path, f"campaign_id={offer.campaign_id}&status=")
        lines = file.text.splitlines()
        assert file.headers["Content-Disposition"] == f'attachment; filename="{path}.csv"'
        assert lines[0].startswith("\ufeff")
        assert len(lines) == 1 + count
    refunds = await exported(ann, "refunds", f"team_id={first['team_id']}")
    assert orders[1]["out_trade_no"] in refunds.text
    day = (await until(lambda: shop.ops.get("/v1/ops/statistics"), lambda answer: answer.ok()["data"])).ok()["data"][0]["day"]
    assert f"\n{day}," in (await exported(ann, "", "")).text
    assert (await exported(ann, "settlements", "source=nobody&since=2026-01")).text.startswith("\ufeffmonth,source,")
    name = f"=1+1 {fresh('person')}"
    await (await sign_in("ops", name)).act("/switches/rollout", value="100")
    for audit in (await ann.get("/audit.csv"), await exported(ann, "audit", "subject=switch&since=2026-01-01T00:00")):
        assert f",'{name}," in audit.text
        assert f",{name}," not in audit.text


async def test_a_campaign_tells_what_a_buyer_would_pay_and_why(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    taken = await offer.seat()
    ann = await sign_in("read")
    asked = f"/campaigns/{offer.campaign_id}/quote?sold=s01+c01+{offer.goods_id}&user_id="
    fresh_buyer = await ann.get(asked + fresh("buyer"))
    assert (fresh_buyer.status, "may take a seat" in fresh_buyer.text, "¥80.00" in fresh_buyer.text) == (200, True, True)
    same_buyer = await ann.get(asked + taken["user_id"])
    assert ("may not take a seat" in same_buyer.text, "take_limit_reached" in same_buyer.text) == (True, True)
    for wrong in ("sold=s01&user_id=x", "sold=s01+c01+!&user_id=x", f"sold=s09+c01+{offer.goods_id}&user_id=x"):
        assert (await ann.get(f"/campaigns/{offer.campaign_id}/quote?{wrong}")).status in {404, 422}


async def test_a_history_links_to_its_page(sign_in: SignIn, shop: Shop, stack: Stack, temporal: Client) -> None:
    order = await (await shop.sell()).seat()
    await shop.refund(order)
    for workflow_id, path in (
        (f"team-{order['team_id']}", f"teams/{order['team_id']}"),
        (f"refund-{order['order_id']}-1", f"orders/{order['order_id']}"),
    ):
        described = await temporal.get_workflow_handle(workflow_id).describe()
        assert f"({stack.addresses.console_url}{path})" in (await described.static_details() or "")
        assert (await (await sign_in("read")).get(f"/{path}")).status == 200


async def test_health_has_the_invariants_and_the_backlog(sign_in: SignIn) -> None:
    text = (await (await sign_in("read")).get("/health")).text
    for part in ("API", "Database", "Temporal", "Workers · 1"):
        assert f"✓ {part}" in text
    assert "✗" not in text
    assert "violations of invariants" not in text


async def test_what_waits_is_shown_by_kind(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    await shop.settle(order)
    (await shop.pay(order, "79.00")).refused("out_trade_no_reused", 422)
    ann = await sign_in("read")
    by_kind = await ann.get("/attention", Accept_Language="zh")
    assert "/console/attention?kind=payment_conflict" in by_kind.text
    assert "/console/attention?kind=payment_conflict" in (await ann.get("/")).text
    listed = await ann.get("/attention?kind=payment_conflict", Accept_Language="zh")
    assert order["order_id"] in listed.text
    assert "已入账 80.00，之后又上报了 79.00" in listed.text
    assert order["order_id"] not in (await ann.get("/attention?kind=wakeup")).text
    waiting = await ann.get(f"/teams?attention=true&campaign_id={offer.campaign_id}")
    assert order["team_id"] in waiting.text
    assert order["team_id"] not in (await ann.get(f"/teams?due_within=3600&campaign_id={offer.campaign_id}")).text
    assert (await ann.get("/callbacks/malls")).status == 200


async def test_outcomes_and_refusals_are_told_in_the_language_of_the_person(sign_in: SignIn, shop: Shop) -> None:
    order = await (await shop.sell()).seat()
    ann = await sign_in("ops")
    await ann.get("/language/zh")
    assert "没有队伍 none。" in (await ann.get("/teams/none")).text
    assert (await ann.act(f"/teams/{order['team_id']}/close", reason="closed for good")).status == 303
    closed = (await ann.get(f"/teams/{order['team_id']}")).text
    assert "队伍现在失败（已关闭）。" in closed
    assert "closed for good – " in closed


async def test_a_form_shows_what_is_wrong_with_its_code(sign_in: SignIn) -> None:
    ann = await sign_in("admin")
    for path, fields, code in (
        ("/switches/rollout", {"value": "101"}, "invalid_request"),
        ("/keys/new", {"name": "", "scopes": "read"}, "invalid_request"),
        ("/keys/new", {"name": fresh("x"), "scopes": "trade", "source": "nobody"}, "mall_not_found"),
        ("/audiences/nobody/rule", {"paid": "at_least_one"}, "invalid_request"),
        ("/campaigns/new", {"name": "x"}, "invalid_request"),
    ):
        answer = await ann.act(path, **fields)
        assert (answer.status, f"<code>{code}</code>" in answer.text) == (422, True), (path, answer.text)
