"""The trade as workflows of DBOS, whose library and tables are all that it needs. Needs the extra `peer`.

A request is a workflow with one step, the transaction. Its team is another one, which its opener starts: it waits for the news
that the team is complete, at most until its deadline; it has the mall called back, and waits for the end of the refund window.
The transactions are idempotent by the orders' numbers, so a step that is repeated after a crash changes nothing.
"""

from dbos import DBOS, DBOSConfig, SetWorkflowID

from bench.peer.trade import WINDOW_SECONDS, Trade
from domain.messages.orders import HeldSeat, PaymentReport, SeatRequest, SettledPayment

TEAM_SECONDS = 86400.0
COMPLETED = "completed"


class Durable:
    """What the workflows work with, in this process; and what its teams do."""

    trade: Trade
    open_teams = 0


@DBOS.step()
async def lock_step(request: str) -> str:
    return (await Durable.trade.lock(SeatRequest.model_validate_json(request))).model_dump_json()


@DBOS.step()
async def settle_step(report: str) -> str:
    return (await Durable.trade.settle(PaymentReport.model_validate_json(report))).model_dump_json()


@DBOS.step(retries_allowed=True, max_attempts=100)
async def deliver_step(event_ids: list[str]) -> None:
    await Durable.trade.deliver(event_ids)


@DBOS.workflow()
async def team_workflow() -> None:
    event_ids = await DBOS.recv_async(COMPLETED, timeout_seconds=TEAM_SECONDS)
    if event_ids is not None:
        await deliver_step(event_ids)
        await DBOS.sleep_async(WINDOW_SECONDS)
    Durable.open_teams -= 1


@DBOS.workflow()
async def lock_workflow(request: str, team: str | None) -> str:
    held = await lock_step(request)
    if team is not None:
        with SetWorkflowID(team):
            await DBOS.start_workflow_async(team_workflow)
    return held


@DBOS.workflow()
async def settle_workflow(report: str, team: str) -> str:
    settled = await settle_step(report)
    event_ids = SettledPayment.model_validate_json(settled).event_ids
    if event_ids:
        await DBOS.send_async(team, event_ids, topic=COMPLETED)
    return settled


async def lock(request: SeatRequest) -> HeldSeat:
    team = request.team_id if request.opens_team else None
    Durable.open_teams += request.opens_team
    with SetWorkflowID(f"lock:{request.out_trade_no}"):
        return HeldSeat.model_validate_json(await lock_workflow(request.model_dump_json(), team))


async def settle(report: PaymentReport) -> SettledPayment:
    with SetWorkflowID(f"settle:{report.out_trade_no}"):
        return SettledPayment.model_validate_json(await settle_workflow(report.model_dump_json(), report.team_id))


def launch(system_database_url: str, trade: Trade) -> None:
    """Creates DBOS's tables and starts it in this process."""
    Durable.trade = trade
    config = DBOSConfig(
        name="groupbuy-peer",
        system_database_url=system_database_url,
        log_level="WARNING",
        sys_db_pool_size=20,
        enable_otlp=False,
    )
    DBOS(config=config)
    DBOS.launch()
