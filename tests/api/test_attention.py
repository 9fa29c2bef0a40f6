"""What waits for an operator, until it is settled by hand."""

from aiohttp import web

from tests.api.audit import audit_of
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Shop

GONE = 410


async def attention(shop: Shop, order: Json) -> list[Json]:
    """What waits of the order's team."""
    found = (await shop.ops.get("/v1/ops/attention", limit=100)).ok()["data"]
    return [one for one in found if one["team_id"] == order["team_id"]]


async def test_another_amount_shows_in_attention(shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    await shop.settle(order)
    (await shop.pay(order, "79.00")).refused("out_trade_no_reused", 422)
    [waiting] = await attention(shop, order)
    assert (waiting["kind"], waiting["detail"]) == ("payment_conflict", "80.00 was booked, and 79.00 reported afterwards")
    path = f"/v1/ops/attention/{waiting['kind']}/{waiting['subject']}/resolve"
    settled = (await shop.ops.post(path, {"note": "the mall had mistyped it"})).ok()
    assert settled == {"changed": True, "detail": "Also reported, and settled by hand: 79.00."}
    assert await attention(shop, order) == []
    again = (await shop.ops.post(path, {"note": "the same"})).ok()
    assert again == {"changed": False, "detail": "No payment conflict of this order waits."}
    told = await audit_of(shop, f"payment_conflict/{order['order_id']}")
    assert [(act["changed_by"], act["reason"], act["changed"]) for act in told] == [
        ("demo operator", "the mall had mistyped it", True),
        ("demo operator", "the same", False),
    ]


async def test_a_dead_callback_is_settled_by_hand(shop: Shop, receiver: Receiver) -> None:
    receiver.answer_to("team.failed", web.Response(status=GONE))
    order = await (await shop.sell()).seat(callback=receiver.callback())
    (await shop.ops.post(f"/v1/ops/teams/{order['team_id']}/close", {})).ok()
    [dead] = await until(lambda: attention(shop, order), bool)
    path = f"/v1/ops/attention/{dead['kind']}/{dead['subject']}/resolve"
    (await shop.ops.post(path, {})).refused("invalid_request", 422)
    (await shop.ops.post(path, {"note": ""})).refused("invalid_request", 422)
    assert (await shop.ops.post(path, {"note": "told by mail"})).ok()["changed"]
    assert await attention(shop, order) == []
    assert not (await shop.ops.post(path, {"note": "told by mail"})).ok()["changed"]


async def test_what_is_not_there_or_not_settled_like_that_is_refused(shop: Shop) -> None:
    for kind, code, status in (
        ("payment_conflict", "order_not_found", 404),
        ("callback", "event_not_found", 404),
        ("refund", "invalid_request", 422),
        ("team", "invalid_request", 422),
    ):
        (await shop.ops.post(f"/v1/ops/attention/{kind}/nothing/resolve", {"note": "why"})).refused(code, status)
