"""Operators' acts in time: each is answered with what came of it, and stands once in the audit, whatever its workflow meets."""

from collections.abc import AsyncIterator
from datetime import timedelta
from types import ModuleType

import pytest
from aiohttp import web
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

import db.refunds.steps
import db.teams.conclude
from db.core.connection import Database
from db.core.invariants import violations
from db.refunds.queries import look_up_refund
from db.settings.audit import ChangeFilter, list_changes
from domain.lifecycle import RefundStatus
from domain.messages.acts import Act, Outcome
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Address
from domain.messages.refunds import DecideByOperator
from domain.messages.teams import ExtendByOperator
from domain.schemas.audit import Via
from tests.acts import act_of
from tests.api.polling import until
from tests.api.receiver import Receiver, listening
from tests.api.signals import Handle, details
from tests.workflows.play import SECRET, SOURCE, Play, publish, working

GONE = 410
DAY = timedelta(days=1)


@pytest.fixture
async def queue(time: WorkflowEnvironment, database: Database) -> AsyncIterator[str]:
    async with working(time.client, database) as made:
        yield made
    assert await violations(database) == []


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening(SECRET) as receiver:
        yield receiver


async def play(time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver) -> Play:
    campaign, campaign_id, goods_id = await publish(database)
    callback = Address(kind="http", address=receiver.callback()["url"])
    return Play(time.client, queue, campaign, campaign_id, goods_id, callback=callback)


async def unanswered(team: Play, receiver: Receiver) -> Handle:
    """The refund of a member whose mall is gone: it waits for an operator."""
    await team.open()
    for buyer in (2, 3):
        await team.join(buyer)
    for buyer in (1, 2, 3):
        await team.pay(buyer)
    receiver.answer_to("order.refund_requested", web.Response(status=GONE))
    await team.refund(1)
    handle = team.refund_handle(1)
    await until(lambda: details(handle), lambda seen: "It waits for resend" in seen)
    return handle


async def do(workflow: Handle, update: str, act: Act | ExtendByOperator | DecideByOperator) -> Outcome:
    made = act if isinstance(act, Act) else act.act
    outcome = await workflow.execute_update(update, act, id=f"{update}:{made.id}", result_type=Outcome)
    assert isinstance(outcome, Outcome)
    return outcome


async def audit(database: Database, subject: str) -> list[tuple[str, str, bool]]:
    changes = await list_changes(database, ChangeFilter(subject=subject), None, 99)
    return [(change.action, change.changed_by, change.changed) for change in reversed(changes)]


def lose_one_answer(monkeypatch: pytest.MonkeyPatch, owner: ModuleType, name: str) -> list[object]:
    """Lets the first call of a transaction fail after its commit; returns what is lost then."""
    committing, lost = getattr(owner, name), list[object]()

    async def lose_the_first(database: Database, request: object) -> object:
        answer: object = await committing(database, request)
        if not lost:
            lost.append(answer)
            raise ConnectionError("the answer is lost")
        return answer

    monkeypatch.setattr(owner, name, lose_the_first)
    return lost


async def test_an_update_answers_and_a_late_one_is_told_why_nothing_changed(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    await team.open()
    await team.pay(1)
    extended = await do(team.handle, "extend", ExtendByOperator(minutes=120, act=act_of("ann", "a holiday")))
    assert (extended.changed, extended.detail.endswith("120 min later than before.")) == (True, True)
    await time.sleep(DAY + timedelta(hours=1))
    assert "**forming**" in await team.details()
    assert await do(team.handle, "complete", act_of("bob")) == Outcome(changed=True, detail="The team is completed (operator).")
    assert not (await do(team.handle, "close", act_of("cay"))).changed
    assert await audit(database, f"team/{team.team}") == [
        ("extend", "ann", True),
        ("complete", "bob", True),
        ("close", "cay", False),
    ]
    await team.handle.terminate()


async def test_an_act_whose_answer_is_lost_is_done_and_recorded_once(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is committed, and the activity fails: it is repeated, and finds what came of the act."""
    lost = [lose_one_answer(monkeypatch, db.teams.conclude, name) for name in ("extend_team", "conclude_team")]
    team = await play(time, database, queue, receiver)
    await team.open()
    await team.pay(1)
    await do(team.handle, "extend", ExtendByOperator(minutes=60, act=act_of()))
    assert (await do(team.handle, "close", act_of())).changed
    assert [len(each) for each in lost] == [1, 1]
    assert await audit(database, f"team/{team.team}") == [("extend", "ann", True), ("close", "ann", True)]
    assert await team.handle.result() == "failed"
    assert await team.refund_handle(1).result() == "paid_unformed: done"


async def test_who_vetoes_is_answered_when_the_order_is_paid_again(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    handle = await unanswered(team, receiver)
    veto = DecideByOperator(approve=False, act=act_of("ann", "shipped"))
    assert await do(handle, "decide", veto) == Outcome(changed=True, detail="The refund is vetoed in the mall's place.")
    found = await look_up_refund(database, SOURCE, team.number(1))
    assert found is not None
    assert found.refund is not None
    assert found.refund.status is RefundStatus.REJECTED
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    await team.handle.terminate()


async def test_what_nobody_acts_on_any_more_is_recorded_when_the_refund_ends(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    """Several at once: one is carried out, the others are answered by the rows that it left."""
    team = await play(time, database, queue, receiver)
    handle = await unanswered(team, receiver)
    for payload in ({"operator": "ann", "note": "by mail"}, {"operator": "bob"}):
        await handle.signal("close_manually", payload)
    await handle.signal("decide", {"approve": False, "operator": "cay"})
    assert await handle.result() == "paid_formed: done"
    assert sorted(await audit(database, f"refund/{team.order(1)}")) == [
        ("close_manually", "ann", True),
        ("close_manually", "bob", False),
        ("decide", "cay", False),
    ]
    await team.handle.terminate()


async def test_a_step_of_a_refund_whose_answer_is_lost_is_recorded_once(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = lose_one_answer(monkeypatch, db.refunds.steps, "finish_refund")
    team = await play(time, database, queue, receiver)
    handle = await unanswered(team, receiver)
    assert await do(handle, "close_manually", act_of()) == Outcome(changed=True, detail="The refund is done.")
    assert len(lost) == 1
    assert await audit(database, f"refund/{team.order(1)}") == [("close_manually", "ann", True)]
    assert await handle.result() == "paid_formed: done"
    await team.handle.terminate()


async def test_a_signal_to_a_refund_whose_request_never_comes_does_not_keep_it_alive(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    await team.open()
    handle = await time.client.start_workflow(
        "RefundWorkflow",
        {"source": SOURCE, "out_trade_no": team.number(1), "awaits_request": True},
        id=f"refund-{team.name}-unrequested",
        task_queue="groupbuy-refunds",
        start_signal="resend",
        start_signal_args=[{"operator": "ann"}],
    )
    await details(handle)
    await time.sleep(timedelta(minutes=2))
    with pytest.raises(WorkflowFailureError) as failed:
        await time.client.get_workflow_handle(handle.id).result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == WorkflowFailure.NO_REQUEST
    [change] = await list_changes(database, ChangeFilter(subject=f"refund/{team.order(1)}"), None, 9)
    assert (change.via, change.changed, change.outcome) == (Via.SIGNAL, False, "The order has no refund.")
    await team.handle.terminate()
