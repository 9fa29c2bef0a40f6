"""Records the histories that `test_replay.py` replays: `python -m tests.histories.record NAME`.

An old recording is never replaced (docs/stability.md).
"""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import click
from aiohttp import web
from temporalio.api.enums.v1 import EventType as HistoryEvent
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from db.callbacks.mass_redelivery import begin_redelivery
from db.core.connection import Database
from db.core.migrate import upgrade
from db.exports import begin_export
from db.orders.queries import OrderFilter
from db.orders.settle import settle_payment
from domain.ids import event_id, export_workflow_id, payment_workflow_id, redelivery_workflow_id, shutdown_workflow_id
from domain.messages.acts import Outcome
from domain.messages.callbacks import Address, Redeliver
from domain.messages.campaigns import ShutdownInput
from domain.messages.orders import SettlePayment
from domain.messages.refunds import RefundInput
from domain.messages.teams import ExtendByOperator
from domain.schemas.audiences import AudienceRule
from domain.schemas.events import EventType
from domain.schemas.exports import ExportKind
from domain.schemas.redeliveries import RedeliveryRange
from embedded.plan import Options
from embedded.stack import Stack
from tests.acts import act_of
from tests.api.polling import until
from tests.api.receiver import listening
from tests.workflows.audiences import LONG_AGO, Audience
from tests.workflows.play import SECRET, SOURCE, Play, publish, working
from workflows import search_attributes
from workflows.client import data_converter
from workflows.redelivery import RESEND, RedeliveryWorkflow
from workflows.starters import signal_refund, start_campaign_shutdown, start_export, start_mass_redelivery
from workflows.task_queues import CALLBACKS_QUEUE
from workflows.team.workflow import TeamWorkflow

HERE = Path(__file__).parent
TEMPORAL = Path(sys.executable).with_name("temporal")
# So low that ten members are long enough to continue as new.
LONG = "limit.historyCount.suggestContinueAsNew=60"

Story = Callable[[Play, Stack], Awaitable[None]]
GONE, VETO = 410, {"code": "refund_rejected", "detail": "shipped already"}


async def completed(team: Play, _: Stack) -> None:
    await team.open()
    for buyer in (2, 3):
        await team.join(buyer)
    for buyer in (1, 2, 3):
        await team.pay(buyer)


async def overlapping(team: Play, _: Stack) -> None:
    await team.open()
    await asyncio.gather(*(team.join(buyer) for buyer in range(2, 9)))
    await asyncio.gather(*(team.pay(buyer) for buyer in range(1, 9)))


async def long_lived(team: Play, _: Stack) -> None:
    await team.open()
    for buyer in range(2, 9):
        await team.join(buyer)
    for buyer in range(1, 9):
        await team.pay(buyer)


async def expired(team: Play, _: Stack) -> None:
    await team.open()
    await team.join(2)
    await team.pay(1)


async def abandoned(team: Play, _: Stack) -> None:
    await team.open()
    await team.join(2)


async def no_first_seat(team: Play, _: Stack) -> None:
    with contextlib.suppress(WorkflowUpdateFailedError):
        await team.open()


async def operated(team: Play, _: Stack) -> None:
    handle = await team.open()
    await team.pay(1)
    await handle.signal("extend", {"minutes": 5, "operator": "ann"})
    await handle.signal("extend", "nonsense")
    await handle.execute_update("extend", ExtendByOperator(minutes=1, act=act_of()), id="extend", result_type=Outcome)
    await handle.signal("complete", {"operator": "ann", "reason": "enough"})


async def cancelled(team: Play, _: Stack) -> None:
    handle = await team.open()
    await team.pay(1)
    await handle.cancel()


async def paid_back(team: Play, _: Stack) -> None:
    await expired(team, _)
    await _ended(team, 1)


async def refunded(team: Play, _: Stack) -> None:
    """Members leave a forming team, unpaid and paid; one pays a wrong amount; one is undone by an operator; it is closed."""
    await team.open()
    for buyer in range(2, 7):
        await team.join(buyer)
    for buyer in (3, 4, 5):
        await team.pay(buyer)
    await team.pay(6, "1.00")
    await team.refund(2)
    await team.refund(3, reason="too slow")
    await team.handle.signal("refund", {"out_trade_no": team.number(4), "operator": "ann"})
    await team.handle.signal("refund", {"reason": "nonsense"})
    for buyer in (2, 3, 4, 6):
        await _ended(team, buyer)
    await team.handle.signal("close", {"operator": "ann"})
    await _ended(team, 5)


async def left_completed(team: Play, _: Stack) -> None:
    """Members of a completed team leave: with the mall's consent, after its veto and a second attempt, all of them."""
    await completed(team, _)
    await team.refund(1)
    await _ended(team, 1)
    await team.refund(2)
    await _ended(team, 2)
    await team.refund(2, attempt=2)
    await _ended(team, 2, 2)
    await team.refund(3)
    await _ended(team, 3)


async def unanswered(team: Play, _: Stack) -> None:
    """The mall neither answers nor listens: an operator asks again, decides, is refused a cancel, and closes by hand."""
    await completed(team, _)
    for buyer in (1, 2, 3):
        await team.refund(buyer)
    for buyer in (1, 2, 3):
        await _attention(team, buyer)
    await team.refund_handle(1).signal("decide", {"approve": True, "operator": "ann"})
    await _attention(team, 1, "tell the mall")
    await team.refund_handle(1).cancel()
    await team.refund_handle(1).signal("decide", "nonsense")
    await team.refund_handle(1).signal("close_manually", {"operator": "ann", "note": "by phone"})
    again = await team.refund_handle(2).execute_update("resend", act_of(), id="resend", result_type=Outcome)
    assert again.changed
    await team.refund_handle(3).cancel()
    for buyer in (1, 2, 3):
        await _ended(team, buyer)


async def untold(team: Play, _: Stack) -> None:
    """The mall takes neither an unpaid refund nor the completion; an operator closes one, decides another before it asks."""
    await team.open()
    for buyer in (2, 3):
        await team.join(buyer)
    await team.refund(3)
    await _attention(team, 3, "tell the mall")
    await team.refund_handle(3).signal("close_manually", {"operator": "ann", "note": "by phone"})
    await team.join(4)
    for buyer in (1, 2, 4):
        await team.pay(buyer)
    await team.refund(1)
    await _attention(team, 1)
    await team.refund_handle(1).terminate("by mistake")
    terminated = RefundInput(source=SOURCE, out_trade_no=team.number(1), attempt=1)
    await signal_refund(team.client, terminated, "decide", {"approve": True, "operator": "ann"})
    for buyer in (1, 3):
        await _ended(team, buyer)


async def reseated(team: Play, _: Stack) -> None:
    await team.open()
    await team.pay(1)
    await team.join(2)
    await _left(team, 1)
    await team.pay(2)
    await team.handle.signal("complete", {"operator": "ann"})


async def paid_too_late(team: Play, _: Stack) -> None:
    """Money after the team's workflow has ended: a workflow of its own books it, a refund's returns it."""
    await team.open()
    await team.handle.result()
    await team.pay_alone(1)
    await _ended(team, 1)


async def healed(team: Play, stack: Stack) -> None:
    """A payment completes the team without its workflow, which finds that in the rows when the seat is overdue."""
    await team.open()
    await team.join(2)
    await team.pay(1)
    database = Database(stack.addresses.database_url, size=1)
    await settle_payment(database, SettlePayment(report=team.report(2), now=datetime.now(UTC)))
    await database.close()


async def sent_again(team: Play, stack: Stack) -> None:
    """The mall wants none of it: its team's event is sent again, that event by itself, and all events since it began."""
    began = datetime.now(UTC)
    await completed(team, stack)
    await _noted(team, "could not be delivered")
    await team.handle.signal("resend_callbacks", {"operator": "ann"})
    await team.handle.signal("resend_callbacks", "nonsense")
    await _noted(team, "changed nothing")
    await team.client.execute_workflow(
        RedeliveryWorkflow.run,
        Redeliver(event_ids=[event_id(EventType.TEAM_COMPLETED, team.team)]),
        id=f"callback-{team.name}",
        task_queue=CALLBACKS_QUEUE,
        start_signal=RESEND,
        start_signal_args=[{"operator": "ann"}],
    )
    await _send_range_again(team, stack, began)


async def _send_range_again(team: Play, stack: Stack, since: datetime) -> None:
    now = datetime.now(UTC)
    wanted = RedeliveryRange(source=SOURCE, since=since, until=now, status="all")
    database = Database(stack.addresses.database_url, size=1)
    redelivery = await begin_redelivery(database, wanted, act=act_of(), now=now, gives_up_at=now + timedelta(days=3))
    await database.close()
    await start_mass_redelivery(team.client, redelivery)
    await team.client.get_workflow_handle(redelivery_workflow_id(SOURCE, redelivery.redelivery_id)).result()
    assert redelivery.redelivery_id == 1


async def _noted(team: Play, say: str) -> None:
    await until(team.details, lambda seen: say in seen)


async def database_away(team: Play, stack: Stack) -> None:
    await team.open()
    await stack.stop_part("postgres")
    joining = asyncio.gather(team.join(2), team.join(3))
    await _pending_activity(team.handle)
    await stack.start_part("postgres")
    await joining
    await team.handle.signal("close", {"operator": "ann"})


async def _pending_activity(handle: WorkflowHandle[TeamWorkflow, str]) -> None:
    async def pending() -> int:
        return len((await handle.describe()).raw_description.pending_activities)

    await until(pending, bool)


async def _ended(team: Play, buyer: int, attempt: int = 1) -> None:
    async def result() -> str:
        try:
            return await team.refund_handle(buyer, attempt).result()
        except WorkflowFailureError:
            return "failed"
        except RPCError:  # it has not been started yet
            return ""

    await until(result, bool)


async def _attention(team: Play, buyer: int, why: str = "ask the mall") -> None:
    async def details() -> str:
        found = await team.refund_handle(buyer).query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        return str(found.current_details)

    await until(details, lambda seen: f"{why}: it did not take it. It waits" in seen)


async def _left(team: Play, seats: int) -> None:
    async def taken() -> int:
        view = await team.handle.query(TeamWorkflow.view)
        return len(view.live_seats)

    await until(taken, lambda seen: seen == seats)


async def campaign_ended(team: Play, _: Stack) -> None:
    """Its campaign ends at once, with this team and with another one that has no workflow any more."""
    orphan = replace(team, name=f"{team.name}-orphan")
    for play in (team, orphan):
        await play.open()
        await play.join(2)
        await play.pay(1)
    await orphan.handle.terminate()
    await start_campaign_shutdown(team.client, ShutdownInput(campaign_id=team.campaign_id, operator="ann", reason="sold out"))
    await team.client.get_workflow_handle(shutdown_workflow_id(team.campaign_id)).result()


STORIES: dict[str, tuple[Story, dict[str, object]]] = {
    "completed": (completed, {"refund_window": 1}),
    "completed_regular": (completed, {"refund_window": 1}),
    "overlapping": (overlapping, {"target_count": 8, "refund_window": 1}),
    "overlapping_regular": (overlapping, {"target_count": 8, "refund_window": 1}),
    "continued_as_new": (long_lived, {"target_count": 8, "refund_window": 1}),
    "expired": (expired, {"team_ttl": 2, "payment_grace": 0}),
    "min_count": (expired, {"team_ttl": 2, "payment_grace": 0, "min_count": 1, "refund_window": 1}),
    "abandoned": (abandoned, {"lock_ttl": 1, "payment_grace": 0}),
    "no_first_seat": (no_first_seat, {"stock": 0}),
    "operated": (operated, {"refund_window": 1}),
    "cancelled": (cancelled, {}),
    "database_away": (database_away, {}),
    "paid_back": (paid_back, {"team_ttl": 2, "payment_grace": 0}),
    "refunded": (refunded, {"target_count": 9}),
    "left_completed": (left_completed, {}),
    "unanswered": (unanswered, {"refund_window": 30}),
    "reseated": (reseated, {"lock_ttl": 1, "payment_grace": 0, "refund_window": 1, "target_count": 5}),
    "paid_too_late": (paid_too_late, {"lock_ttl": 1, "payment_grace": 0}),
    "healed": (healed, {"target_count": 2, "lock_ttl": 1, "payment_grace": 0, "refund_window": 5}),
    "campaign_ended": (campaign_ended, {}),
    "untold": (untold, {"refund_window": 5}),
    "sent_again": (sent_again, {"refund_window": 5}),
}
"""What is played, and changes to the campaign."""


async def by_rule(audience: Audience) -> None:
    """A rule replaces the members of an upload."""
    await audience.uploaded("former")
    import_id = await audience.begin(AudienceRule(min_orders=1, since=LONG_AGO, until=datetime.now(UTC)))
    async with working(audience.client, audience.database):
        await audience.start(import_id)
        await audience.handle(import_id).result()


async def uploaded(audience: Audience) -> None:
    """What is left to do after an upload."""
    await audience.uploaded("former")
    import_id = await audience.uploaded("u1")
    async with working(audience.client, audience.database):
        await audience.start(import_id)
        await audience.handle(import_id).result()


async def rule_cancelled(audience: Audience) -> None:
    import_id = await audience.begin(AudienceRule(min_orders=1, since=LONG_AGO, until=datetime.now(UTC)))
    await audience.start(import_id)
    await audience.handle(import_id).cancel()
    async with working(audience.client, audience.database):
        with contextlib.suppress(WorkflowFailureError):
            await audience.handle(import_id).result()


AUDIENCES: dict[str, Callable[[Audience], Awaitable[None]]] = {
    "audience_by_rule": by_rule,
    "audience_uploaded": uploaded,
    "audience_rule_cancelled": rule_cancelled,
}
"""Imports of an audience; the last one's history is kept."""

EXPORTS = {
    "export_kept": HistoryEvent.EVENT_TYPE_TIMER_STARTED,
    "export_cancelled": HistoryEvent.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
}
"""Exports, by the last event of what is kept of their histories: a file is kept for a day."""

ANSWERS: dict[str, dict[str, list[int]]] = {
    "left_completed": {"order.refund_requested": [200, 409]},
    "unanswered": {"order.refund_requested": [GONE, GONE, GONE], "order.refunded": [GONE]},
    "untold": {"team.completed": [GONE], "order.cancelled": [GONE], "order.refund_requested": [GONE]},
    "sent_again": {"team.completed": [GONE]},
}
"""What the mall says first, story by story; to everything else it says yes. A 409 is a veto."""


async def record(name: str, client: Client, database: Database, stack: Stack) -> None:
    story, changes = STORIES[name]
    campaign, campaign_id, goods_id = await publish(database, **changes)
    async with listening(SECRET) as receiver, working(client, database) as queue:
        for kind, answers in ANSWERS.get(name, {}).items():
            receiver.answer_to(kind, *(web.json_response(VETO, status=status) for status in answers))
        callback = Address(kind="http", address=receiver.callback()["url"])
        local = not name.endswith("_regular")
        team = Play(client, queue, campaign, campaign_id, goods_id, local=local, callback=callback)
        await story(team, stack)
        with contextlib.suppress(WorkflowFailureError):
            await team.handle.result()
    runs = [run async for run in client.list_workflows(f"WorkflowId = '{team.handle.id}'")]
    while not runs:  # visibility follows in a moment
        runs = [run async for run in client.list_workflows(f"WorkflowId = '{team.handle.id}'")]
    for number, run in enumerate(sorted(runs, key=lambda run: run.start_time), 1):
        suffix = f"_{number}" if len(runs) > 1 else ""
        await _write(client.get_workflow_handle(run.id, run_id=run.run_id), f"{name}{suffix}")
    with contextlib.suppress(RPCError):  # most stories send nothing again
        await _write(client.get_workflow_handle(f"callback-{team.name}"), f"{name}_callback")
        await _write(client.get_workflow_handle(redelivery_workflow_id(SOURCE, 1)), f"{name}_redelivery")
    for buyer, attempt in product(range(1, 10), (1, 2)):
        with contextlib.suppress(RPCError):  # not every order is refunded
            await _write(team.refund_handle(buyer, attempt), f"{name}_refund_{buyer}_{attempt}")
    for buyer in range(1, 10):
        with contextlib.suppress(RPCError):  # few payments come too late
            payment = client.get_workflow_handle(payment_workflow_id(team.order(buyer)))
            await _write(payment, f"{name}_payment_{buyer}")
    with contextlib.suppress(RPCError):  # few campaigns are shut down
        await _write(client.get_workflow_handle(shutdown_workflow_id(campaign_id)), f"{name}_shutdown")


async def record_audience(name: str, client: Client, database: Database) -> None:
    audience = await Audience.made(client, database)
    await AUDIENCES[name](audience)
    await _write(audience.handle(audience.last_import), name)


async def record_export(name: str, client: Client, database: Database) -> None:
    export = await begin_export(database, ExportKind.ORDERS, OrderFilter(), act=act_of(), now=datetime.now(UTC))
    await start_export(client, export)
    handle = client.get_workflow_handle(export_workflow_id(export.export_id))
    if name == "export_cancelled":
        await handle.cancel()
    async with working(client, database):
        await until(handle.fetch_history, lambda seen: seen.events[-1].event_type == EXPORTS[name])
    await _write(handle, name)


async def _write(handle: WorkflowHandle[Any, Any], name: str) -> None:
    history = await handle.fetch_history()
    with (HERE / f"{name}.json").open("x") as file:
        file.write(without_paths(history.to_json()) + "\n")
    click.echo(f"{name}: {len(history.events)} events")


def without_paths(history: str) -> str:
    """Without the folders of the machine that recorded it, which stack traces name."""
    return history.replace(f"{sys.prefix}/", "").replace(f"{sys.base_prefix}/", "").replace(f"{HERE.parents[1]}/", "")


async def main(names: tuple[str, ...]) -> None:
    folder = tempfile.mkdtemp(prefix="groupbuy-")
    try:
        async with (
            Stack(Options(data_dir=Path(folder) / "data", services_only=True)) as stack,
            await WorkflowEnvironment.start_local(
                data_converter=data_converter,
                dev_server_existing_path=str(TEMPORAL),
                search_attributes=search_attributes.ALL,
                dev_server_extra_args=["--dynamic-config-value", LONG],
            ) as server,
        ):
            await asyncio.to_thread(upgrade, stack.addresses.database_url)
            database = Database(stack.addresses.database_url, size=8)
            for name in names:
                if name in AUDIENCES:
                    await record_audience(name, server.client, database)
                elif name in EXPORTS:
                    await record_export(name, server.client, database)
                else:
                    await record(name, server.client, database, stack)
            await database.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@click.command(help=__doc__)
@click.argument("names", nargs=-1, required=True, type=click.Choice(sorted((*STORIES, *AUDIENCES, *EXPORTS))))
def command(names: tuple[str, ...]) -> None:
    asyncio.run(main(names))


if __name__ == "__main__":
    command()
