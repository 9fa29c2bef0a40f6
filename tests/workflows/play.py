"""Plays the API against team workflows: campaigns, teams, and workers that run in the sandbox."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.callbacks.deliver import CallbackActivities
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.amqp import AmqpSender
from activities.callbacks.senders.http import http_sender
from db.campaigns.goods import save_goods
from db.campaigns.store import create_campaign
from db.core.connection import Database
from db.settings.malls import MallRecord, save_mall
from db.teams.take_over import read_rows
from domain.ids import order_id, refund_workflow_id, team_id, team_workflow_id
from domain.lifecycle import CampaignStatus
from domain.messages.acts import command_line_author as author
from domain.messages.callbacks import Address
from domain.messages.orders import PaymentReport, SeatRequest, SettledPayment
from domain.messages.payments import PaymentInput
from domain.messages.refunds import RefundInput, RefundRequest, RefundState
from domain.messages.teams import TeamFacts
from domain.pricing import Discount, DiscountPlan
from domain.schemas.campaigns import CampaignFields, CampaignGoods, NewCampaign
from domain.schemas.goods import Goods
from tests.acts import act_of
from tests.api.polling import until
from workers.queues import Process, all_workers
from workflows.payment import BOOK, PaymentWorkflow
from workflows.refund.workflow import REQUEST, RefundWorkflow
from workflows.starters import payment_options, refund_options, team_opening
from workflows.team.state import TeamInput, TeamState
from workflows.team.workflow import LOCK, SETTLE, TeamWorkflow

SOURCE, CHANNEL = "s01", "c01"
SECRET = "whsec_dGVzdHM="
NO_RETRIES = RetrySchedule(timedelta(seconds=1), timedelta(seconds=1), give_up_after=timedelta())


@asynccontextmanager
async def working(
    client: Client,
    database: Database,
    queue: str = "",
    amqp: AmqpSender | None = None,
    retries: RetrySchedule = NO_RETRIES,
    *,
    sandbox: bool = True,
) -> AsyncIterator[str]:
    """Workers for everything; yields their queue for teams, which is their own unless one is named."""
    queue = queue or f"test-{uuid.uuid4().hex}"
    process = Process(client, database, SandboxedWorkflowRunner() if sandbox else UnsandboxedWorkflowRunner())
    async with (
        callback_activities(database, amqp, retries) as callbacks,
        all_workers(process, callbacks, queue),
    ):
        yield queue


@asynccontextmanager
async def callback_activities(
    database: Database, amqp: AmqpSender | None = None, retries: RetrySchedule = NO_RETRIES
) -> AsyncIterator[CallbackActivities]:
    """One try, and no broker unless one is given."""
    async with http_sender(15) as http:
        yield CallbackActivities(database, {"http": http, "amqp": amqp or AmqpSender(None, 15)}, retries)


@dataclass
class Play:
    """Plays the API: teams of one campaign, on one server."""

    client: Client
    queue: str
    campaign: CampaignFields
    campaign_id: int
    goods_id: str
    local: bool = True
    callback: Address | None = None
    task_timeout: timedelta | None = None
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:10])

    @property
    def team(self) -> str:
        return team_id(SOURCE, f"{self.name}-1")

    @property
    def handle(self) -> WorkflowHandle[TeamWorkflow, str]:
        return self.client.get_workflow_handle_for(TeamWorkflow.run, team_workflow_id(self.team))

    def number(self, buyer: int) -> str:
        return f"{self.name}-{buyer}"

    def request(self, buyer: int, *, user: str | None = None) -> SeatRequest:
        return SeatRequest(
            source=SOURCE,
            out_trade_no=self.number(buyer),
            user_id=user or f"{self.name}-user-{buyer}",
            goods_id=self.goods_id,
            channel=CHANNEL,
            team_id=self.team,
            opens_team=buyer == 1,
            callback=self.callback,
        )

    def facts(self) -> TeamFacts:
        return TeamFacts(
            team_id=self.team,
            source=SOURCE,
            campaign_id=self.campaign_id,
            goods_id=self.goods_id,
            goods_name="a book",
            target_count=self.campaign.target_count,
        )

    def input(self, state: TeamState | None = None) -> TeamInput:
        return TeamInput(**self.facts().model_dump(), local_activities=self.local, state=state)

    async def open(self) -> WorkflowHandle[TeamWorkflow, str]:
        start = team_opening(self.facts(), local_activities=self.local, task_queue=self.queue, task_timeout=self.task_timeout)
        await self.client.execute_update_with_start_workflow(
            LOCK, self.request(1), start_workflow_operation=start, id=uuid.uuid4().hex
        )
        return self.handle

    async def join(self, buyer: int) -> None:
        await self.handle.execute_update(LOCK, self.request(buyer), id=uuid.uuid4().hex)

    def report(self, buyer: int, amount: str = "80.00") -> PaymentReport:
        return PaymentReport(
            source=SOURCE,
            out_trade_no=self.number(buyer),
            order_id=self.order(buyer),
            team_id=self.team,
            amount=Decimal(amount),
            paid_at=datetime.now(UTC),
        )

    async def pay(self, buyer: int, amount: str = "80.00") -> SettledPayment:
        report = self.report(buyer, amount)
        settled = await self.handle.execute_update(SETTLE, report, id=uuid.uuid4().hex, result_type=SettledPayment)
        assert isinstance(settled, SettledPayment)
        return settled

    def order(self, buyer: int) -> str:
        return order_id(SOURCE, self.number(buyer))

    def refund_handle(self, buyer: int, attempt: int = 1) -> WorkflowHandle[RefundWorkflow, str]:
        return self.client.get_workflow_handle_for(RefundWorkflow.run, refund_workflow_id(self.order(buyer), attempt))

    async def refund(self, buyer: int, *, attempt: int = 1, operator: str = "", **request: Any) -> RefundState:  # noqa: ANN401
        """As the mall asks for it, or an operator; `request` are the fields of a RefundRequest."""
        refund = RefundInput(source=SOURCE, out_trade_no=self.number(buyer), attempt=attempt, awaits_request=True)
        state = await self.client.execute_update_with_start_workflow(
            REQUEST,
            RefundRequest(**request, act=act_of(operator) if operator else None),
            start_workflow_operation=WithStartWorkflowOperation(
                RefundWorkflow.run, refund, task_timeout=self.task_timeout, **refund_options(refund)
            ),
            id=uuid.uuid4().hex,
            result_type=RefundState,
        )
        assert isinstance(state, RefundState)
        return state

    async def pay_alone(self, buyer: int) -> SettledPayment:
        """As the API books a payment when the team's workflow has ended."""
        payment = PaymentInput(source=SOURCE, out_trade_no=self.number(buyer), team_id=self.team)
        settled = await self.client.execute_update_with_start_workflow(
            BOOK,
            self.report(buyer),
            start_workflow_operation=WithStartWorkflowOperation(
                PaymentWorkflow.run, payment, task_timeout=self.task_timeout, **payment_options(payment)
            ),
            id=uuid.uuid4().hex,
            result_type=SettledPayment,
        )
        assert isinstance(settled, SettledPayment)
        return settled

    async def details(self) -> str:
        """What an operator reads in the Temporal UI."""
        metadata = await self.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        return str(metadata.current_details)


async def publish(database: Database, **changes: object) -> tuple[CampaignFields, int, str]:
    """A campaign of its own for a test: team of 3 at 80.00 instead of 100.00; `changes` to its fields."""
    mall = MallRecord(SOURCE, "Test mall", None, ("127.0.0.1",), (SECRET,), local=True, routing_key_prefixes=("own.",))
    await save_mall(database, mall)
    goods_id, now = f"goods-{uuid.uuid4().hex[:8]}", datetime.now(UTC)
    await save_goods(
        database, Goods(goods_id=goods_id, name="a book", original_price=Decimal("100.00")), by=author("test"), now=now
    )
    fields: dict[str, object] = {
        "name": "test",
        "status": CampaignStatus.ACTIVE,
        "starts_at": now - timedelta(days=1),
        "ends_at": now + timedelta(days=3650),
        "goods": [CampaignGoods(source=SOURCE, channel=CHANNEL, goods_id=goods_id)],
        "discount": Discount(plan=DiscountPlan.CUT, expr="20"),
        "target_count": 3,
    }
    new = NewCampaign.model_validate(fields | changes)
    campaign = await create_campaign(database, new, by=author("test"), now=now)
    return campaign, campaign.campaign_id, goods_id


async def assert_view_equals_rows(team: Play, database: Database) -> None:
    """Once the workflow has acted on every hint: what it knows of the team and its live seats is what the rows say."""

    async def compare() -> tuple[object, object]:
        try:
            state = await team.handle.query(TeamWorkflow.view)
        except RPCError as exc:  # while the workflow continues as new
            return exc, None
        rows = (await read_rows(database, team.team)).rows
        assert rows is not None
        view = {number: (seat.user_id, seat.status) for number, seat in state.live_seats.items()}
        seats = {seat.out_trade_no: (seat.user_id, seat.status) for seat in rows.seats}
        return (state.status, state.deadline, state.refund_until, view), (
            rows.team.status,
            rows.team.deadline,
            rows.team.refund_until,
            seats,
        )

    view, rows = await until(compare, lambda both: both[0] == both[1])
    assert view == rows
