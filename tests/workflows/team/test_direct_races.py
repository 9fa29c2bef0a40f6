"""A direct change that meets a step of the team's workflow, just before its commit and just after: one answer, and one end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

import db.orders.lock
import db.orders.release
import db.teams.conclude
from db.core.connection import Database, connection
from db.core.invariants import violations
from domain.errors import ErrorCode, NotDirectError, Refusal
from domain.lifecycle import OrderStatus, PaymentOutcome, TeamStatus
from domain.messages.callbacks import Address
from tests.api.receiver import Receiver, listening
from tests.workflows.play import SECRET, assert_view_equals_rows, working
from tests.workflows.team.direct import Direct, play_directly

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SIDES = pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])


@pytest.fixture
async def queue(time: WorkflowEnvironment, database: Database) -> AsyncIterator[str]:
    async with working(time.client, database) as name:
        yield name
    assert await violations(database) == []


class Meeting:
    """Lets a direct change meet the first call of a step."""

    def __init__(self, patch: pytest.MonkeyPatch, module: Any, step: str, *, is_before: bool) -> None:  # noqa: ANN401
        self._is_before = is_before
        self._step: Callable[..., Awaitable[Any]] = getattr(module, step)
        self._change: Callable[[], Awaitable[object]] | None = None
        self.outcome: object = None
        """what the change answered or was refused with"""
        patch.setattr(module, step, self._run)

    def with_change(self, change: Callable[[], Awaitable[object]]) -> None:
        self._change = change

    async def _run(self, *arguments: Any) -> Any:  # noqa: ANN401
        change, self._change = self._change, None
        if change is None:
            return await self._step(*arguments)
        if self._is_before:
            await self._meet(change)
            return await self._step(*arguments)
        answer = await self._step(*arguments)
        await self._meet(change)
        return answer

    async def _meet(self, change: Callable[[], Awaitable[object]]) -> None:
        try:
            self.outcome = await change()
        except (Refusal, NotDirectError) as no:
            self.outcome = no.code if isinstance(no, Refusal) else NotDirectError


def address(receiver: Receiver) -> Address:
    return Address(kind="http", address=receiver.callback()["url"])


async def told(receiver: Receiver) -> list[str]:
    """What the mall heard, each event once."""
    return sorted({event.event_id: event.type for event in receiver.received}.values())


async def order_status(database: Database, direct: Direct, buyer: int) -> str:
    async with connection(database) as conn:
        return str(await conn.fetchval("SELECT status FROM orders WHERE order_id = $1", direct.team.order(buyer)))


@SIDES
async def test_a_direct_payment_completes_the_team_while_its_workflow_times_out_the_seat(
    time: WorkflowEnvironment, database: Database, queue: str, monkeypatch: pytest.MonkeyPatch, *, is_before: bool
) -> None:
    meeting = Meeting(monkeypatch, db.orders.release, "release_overdue", is_before=is_before)
    async with listening(SECRET) as receiver:
        direct = await play_directly(time.client, database, queue, address(receiver))
        team = direct.team
        await team.open()
        for buyer in (2, 3):
            await team.join(buyer)
        for buyer in (1, 2):
            await team.pay(buyer)
        meeting.with_change(lambda: direct.pay(3))
        await time.sleep(20 * MINUTE)

        if is_before:
            assert getattr(meeting.outcome, "outcome", None) is PaymentOutcome.SETTLED
        else:
            assert meeting.outcome is NotDirectError
            assert await order_status(database, direct, 3) == "cancelled"
            assert (await team.pay(3)).outcome is PaymentOutcome.RESEATED
        await receiver.of_type("team.completed")
        await assert_view_equals_rows(team, database)
        assert (await direct.status(), await direct.wakeups()) == (TeamStatus.COMPLETED, 0)
        await time.sleep(8 * DAY)
        assert await team.handle.result() == "completed, 3 paid"
        others = [] if is_before else ["order.cancelled", "order.reseated"]
        assert await told(receiver) == [*others, "team.completed"]


@SIDES
async def test_a_direct_lock_arrives_as_the_workflow_closes_its_team(
    time: WorkflowEnvironment, database: Database, queue: str, monkeypatch: pytest.MonkeyPatch, *, is_before: bool
) -> None:
    meeting = Meeting(monkeypatch, db.teams.conclude, "conclude_team", is_before=is_before)
    async with listening(SECRET) as receiver:
        direct = await play_directly(time.client, database, queue, address(receiver))
        await direct.team.open()
        meeting.with_change(lambda: direct.lock(2))
        await direct.team.handle.signal("close", {"operator": "ann"})
        assert await direct.team.handle.result() == "failed"

        if is_before:
            assert await order_status(database, direct, 2) == "cancelled"
        else:
            assert meeting.outcome is ErrorCode.TEAM_CLOSED
        # Its last act was to take over: it needs nobody who tells it.
        assert (await direct.status(), await direct.wakeups()) == (TeamStatus.FAILED, 0)
        assert await told(receiver) == ["order.cancelled"] * (2 if is_before else 1) + ["team.failed"]


@SIDES
async def test_an_opener_that_goes_both_ways_at_once_has_one_seat_and_one_workflow(
    time: WorkflowEnvironment, database: Database, queue: str, monkeypatch: pytest.MonkeyPatch, *, is_before: bool
) -> None:
    meeting = Meeting(monkeypatch, db.orders.lock, "lock_seat", is_before=is_before)
    direct = await play_directly(time.client, database, queue)
    meeting.with_change(lambda: direct.lock(1))
    await direct.team.open()

    assert getattr(meeting.outcome, "repeated", None) == (not is_before)
    await direct.until_taken_over()
    async with connection(database) as conn:
        sql = "SELECT o.status, t.admitted FROM orders o JOIN teams t USING (team_id) WHERE team_id = $1"
        seats = [tuple(seat) for seat in await conn.fetch(sql, direct.team.team)]
    assert seats == [(OrderStatus.LOCKED, "direct" if is_before else "orchestrated")]
    await time.sleep(DAY + MINUTE)
    assert await direct.team.handle.result() == "failed"
