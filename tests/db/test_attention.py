"""What an operator has settled is listed no more, and stands in the audit."""

from decimal import Decimal

import pytest

from db.attention import list_attention, resolve
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import TeamDecision
from domain.messages.acts import Outcome
from domain.schemas.attention import Resolvable
from tests.acts import act_of
from tests.db.audit import audit_of
from tests.db.refunds.test_refunds import DEAD, cancelled_with_dead_callback
from tests.db.shop import NOW, SHOP_ADDRESS, Member, Shop

CONFLICT, CALLBACK = Resolvable.PAYMENT_CONFLICT, Resolvable.CALLBACK


async def listed(shop: Shop) -> list[tuple[str, str]]:
    return [(item.kind, item.subject) for item in await list_attention(shop.database, None, 99)]


async def dead_events(shop: Shop) -> tuple[Member, list[str]]:
    """A team that an operator closed, and whose callbacks were given up."""
    member, *_ = await shop.team(await shop.campaign(), paid=0, locked=2, callback=SHOP_ADDRESS)
    await shop.conclude(member, TeamDecision.CLOSE)
    await shop.execute(DEAD)
    return member, [subject for _, subject in await listed(shop)]


async def test_a_payment_conflict_is_settled_until_another_amount_comes(shop: Shop) -> None:
    member, *_ = await shop.team(await shop.campaign(), paid=1, locked=0)
    for amount in ("79.00", "81.00"):
        assert await shop.try_settle(member, Decimal(amount)) is ErrorCode.OUT_TRADE_NO_REUSED
    assert await listed(shop) == [("payment_conflict", member.order_id)] * 2

    settled = await resolve(shop.database, CONFLICT, member.order_id, act_of(reason="asked the mall"), NOW)
    again = await resolve(shop.database, CONFLICT, member.order_id, act_of("bob", "again"), NOW)

    assert settled == Outcome(changed=True, detail="Also reported, and settled by hand: 79.00, 81.00.")
    assert again == Outcome(changed=False, detail="No payment conflict of this order waits.")
    assert await listed(shop) == []
    assert [entry[:4] for entry in await audit_of(shop, f"payment_conflict/{member.order_id}")] == [
        ("resolve", "ann", "asked the mall", True),
        ("resolve", "bob", "again", False),
    ]
    assert await shop.try_settle(member, Decimal("79.00")) is ErrorCode.OUT_TRADE_NO_REUSED  # known, and settled
    assert await listed(shop) == []
    assert await shop.try_settle(member, Decimal("1.00")) is ErrorCode.OUT_TRADE_NO_REUSED
    assert await listed(shop) == [("payment_conflict", member.order_id)]


async def test_a_dead_callback_is_settled_and_the_others_wait(shop: Shop) -> None:
    _, [event, *others] = await dead_events(shop)

    settled = await resolve(shop.database, CALLBACK, event, act_of(reason="told by mail"), NOW)
    again = await resolve(shop.database, CALLBACK, event, act_of("bob", "again"), NOW)

    assert settled == Outcome(changed=True, detail="1 callback(s) that were given up are closed.")
    assert again == Outcome(changed=False, detail="No callback of this event was given up.")
    assert [subject for _, subject in await listed(shop)] == others
    assert len(others) == 2
    [first, second] = await audit_of(shop, f"callback/{event}")
    assert (first[:4], second[3]) == (("resolve", "ann", "told by mail", True), False)


async def test_a_refund_is_not_settled_as_a_callback(shop: Shop) -> None:
    member = await cancelled_with_dead_callback(shop)
    event = await shop.value("SELECT event_id FROM events WHERE order_id = $1 AND type = 'order.cancelled'", member.order_id)
    outcome = await resolve(shop.database, CALLBACK, event, act_of(), NOW)
    assert (outcome.changed, outcome.detail.split(":")[0]) == (False, "It is a refund's")
    assert await listed(shop) == [("refund", member.order_id)]


@pytest.mark.parametrize(("kind", "code"), [(CONFLICT, ErrorCode.ORDER_NOT_FOUND), (CALLBACK, ErrorCode.EVENT_NOT_FOUND)])
async def test_what_does_not_exist_is_refused(shop: Shop, kind: Resolvable, code: ErrorCode) -> None:
    with pytest.raises(Refusal) as refused:
        await resolve(shop.database, kind, "nothing", act_of(), NOW)
    assert refused.value.code is code
    assert await audit_of(shop, f"{kind}/nothing") == []
