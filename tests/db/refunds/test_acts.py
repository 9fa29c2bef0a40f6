"""What operators do to refunds: each act stands once in the audit, with its outcome, also where it changed nothing."""

import pytest

from db.callbacks.deliveries import Attempt, pending_deliveries, record_attempt
from db.refunds.acts import decline_act
from db.refunds.pending import refund_by_operator
from db.refunds.steps import answer_refund, finish_refund, flag_refund, release_refund, resume_refund
from domain.errors import ErrorCode
from domain.lifecycle import MallAnswer, TeamDecision
from domain.messages.acts import Outcome
from domain.messages.refunds import ChangeRefund, DeclineAct, RefundAction, RefundByOperator, RefundInput
from tests.acts import act_of
from tests.db.audit import Entry, audit_of
from tests.db.refunds.test_refunds import DEAD, WEEK, cancelled_with_dead_callback, requested_in_completed
from tests.db.shop import NOW, SHOP_ADDRESS, Member, Shop

DECIDE, RESEND, CLOSE = RefundAction.DECIDE, RefundAction.RESEND, RefundAction.CLOSE_MANUALLY


def change(of: Member, action: RefundAction, operator: str = "ann", answer: MallAnswer | None = None) -> ChangeRefund:
    act = act_of(operator, "by phone")
    return ChangeRefund(order_id=of.order_id, attempt=1, now=NOW, action=action, act=act, answer=answer)


async def tell_mall(shop: Shop) -> None:
    waiting = await shop.rows("SELECT DISTINCT event_id FROM deliveries WHERE status <> 'delivered'")
    for delivery in await pending_deliveries(shop.database, [row["event_id"] for row in waiting]):
        await record_attempt(shop.database, delivery, Attempt(NOW, 1, 200, None, "delivered", NOW))


async def audit(shop: Shop, member: Member) -> list[Entry]:
    return await audit_of(shop, f"refund/{member.order_id}")


@pytest.mark.parametrize("answer", list(MallAnswer))
async def test_a_decision_is_recorded_once_and_a_later_one_changes_nothing(shop: Shop, answer: MallAnswer) -> None:
    member = await requested_in_completed(shop)
    decide = change(member, DECIDE, answer=answer)

    first, again = [await answer_refund(shop.database, decide) for _ in range(2)]
    late = await answer_refund(shop.database, change(member, DECIDE, "bob", MallAnswer.AGREED))

    assert first.outcome == again.outcome == Outcome(changed=True, detail=f"The refund is {answer} in the mall's place.")
    assert (late.answer, late.outcome) == (answer, Outcome(changed=False, detail=f"The mall had {answer} before."))
    assert await audit(shop, member) == [
        (DECIDE, "ann", "by phone", True, f"The refund is {answer} in the mall's place."),
        (DECIDE, "bob", "by phone", False, f"The mall had {answer} before."),
    ]
    row = await shop.refund_row(member)
    assert (row["operator"], row["note"]) == ("ann", "by phone")


async def test_a_resend_is_recorded_with_what_came_of_it(shop: Shop) -> None:
    member = await requested_in_completed(shop)
    await shop.execute(DEAD)
    await flag_refund(shop.database, ChangeRefund(order_id=member.order_id, attempt=1, now=NOW))
    resend = change(member, RESEND)
    for _ in range(2):
        assert (await resume_refund(shop.database, resend)).outcome == Outcome(changed=True, detail="The mall is told again.")
    await tell_mall(shop)
    late = await resume_refund(shop.database, change(member, RESEND, "bob"))
    assert late.outcome == Outcome(changed=False, detail="Nothing waits to be sent.")
    assert [(by, changed) for _, by, _, changed, _ in await audit(shop, member)] == [("ann", True), ("bob", False)]
    await shop.answer(member, MallAnswer.VETOED)


async def test_a_manual_close_is_recorded_when_the_refund_is_done(shop: Shop) -> None:
    member = await requested_in_completed(shop)
    close = change(member, CLOSE, answer=MallAnswer.AGREED)
    assert (await answer_refund(shop.database, close)).outcome is None
    await release_refund(shop.database, close)
    for _ in range(2):
        assert (await finish_refund(shop.database, close)).outcome == Outcome(changed=True, detail="The refund is done.")
    late = (await finish_refund(shop.database, change(member, CLOSE, "bob"))).outcome
    assert late == Outcome(changed=False, detail="The refund is done already.")
    assert [(by, changed) for _, by, _, changed, _ in await audit(shop, member)] == [("ann", True), ("bob", False)]


async def test_a_refund_that_goes_its_way_leaves_nothing_in_the_audit(shop: Shop) -> None:
    member = await requested_in_completed(shop)
    await shop.answer(member, MallAnswer.AGREED)
    await tell_mall(shop)
    await finish_refund(shop.database, ChangeRefund(order_id=member.order_id, attempt=1, now=NOW))
    assert await audit(shop, member) == []


async def test_an_unpaid_refund_is_closed_once(shop: Shop) -> None:
    member = await cancelled_with_dead_callback(shop)
    assert (await finish_refund(shop.database, change(member, CLOSE))).outcome == Outcome(
        changed=True, detail="The refund is done."
    )
    late = (await finish_refund(shop.database, change(member, CLOSE, "bob"))).outcome
    assert late == Outcome(changed=False, detail="The order is cancelled, and the mall was told.")
    assert (await shop.refund_row(member))["operator"] == "ann"


async def test_an_act_that_nobody_could_act_on_is_recorded_with_the_reason_that_the_rows_have(shop: Shop) -> None:
    rejected, forming = await requested_in_completed(shop), (await shop.team(await shop.campaign(), paid=2, locked=0))[0]
    await shop.answer(rejected, MallAnswer.VETOED)
    await shop.refund(forming)

    async def declined(of: Member, action: RefundAction, attempt: int | None = 1) -> str:
        decline = DeclineAct(order_id=of.order_id, attempt=attempt, action=action, act=act_of(), now=NOW)
        outcome = await decline_act(shop.database, decline)
        assert await decline_act(shop.database, decline) == outcome
        assert (await audit(shop, of))[-1] == (action, "ann", None, False, outcome.detail)
        return outcome.detail

    assert await declined(rejected, RESEND) == "The refund was rejected: the order is paid."
    assert await declined(forming, DECIDE) == "The mall is not being asked."
    assert await declined(forming, CLOSE, None) == "The order has no refund."
    await shop.finish(forming)
    assert await declined(forming, CLOSE) == "The refund is done already."


async def test_an_operator_s_refund_is_recorded_also_when_it_is_refused(shop: Shop) -> None:
    first, second, third = await shop.team(await shop.campaign(), paid=3, locked=0, callback=SHOP_ADDRESS)
    state = await shop.refund(first, operator="ann")
    assert state.outcome == Outcome(changed=True, detail="The mall is asked for its consent.")
    assert (await shop.refund(first, operator="bob")).outcome == Outcome(
        changed=False, detail="Refund 1 of this order is awaiting_mall already."
    )
    assert await shop.try_refund(second, NOW + WEEK, operator="ann") is ErrorCode.REFUND_WINDOW_CLOSED
    [(action, by, _, changed, detail)] = await audit(shop, second)
    assert (action, by, changed) == ("refund", "ann", False)
    assert "refund" in detail
    act = act_of("ann", "kind")
    forced = [await shop.refund(third, NOW + WEEK, force=True, act=act) for _ in range(2)]
    assert [state.outcome for state in forced] == [Outcome(changed=True, detail="The mall is asked for its consent.")] * 2
    assert [entry[:4] for entry in await audit(shop, third)] == [("refund", "ann", "kind", True)]
    assert (await shop.refund_row(third))["operator"] == "ann"


async def test_the_signal_refund_is_recorded_where_there_is_nothing_to_start(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), paid=1, locked=1)
    team_id = members[0].team_id

    async def ask(number: str) -> RefundInput | Outcome:
        request = RefundByOperator(team_id=team_id, out_trade_no=number, now=NOW, act=act_of())
        first, again = [await refund_by_operator(shop.database, request) for _ in range(2)]
        assert first == again
        return first

    started = await ask(members[0].number)
    assert isinstance(started, RefundInput)
    assert (started.operator, started.act is not None) == ("ann", True)
    assert await ask("nobody's") == Outcome(changed=False, detail="This team has no such order.")
    await shop.conclude(members[0], TeamDecision.COMPLETE)
    assert await ask(members[1].number) == Outcome(changed=False, detail="The order is cancelled already.")
    assert [entry[0] for entry in await audit_of(shop, f"team/{team_id}")] == ["refund"]
    assert [entry[0] for entry in await audit(shop, members[1])] == ["refund"]
