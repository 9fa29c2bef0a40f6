"""Plays buyers that are admitted beside the workflow of their team, and the dispatcher that tells it of them."""

from datetime import UTC, datetime, timedelta
from functools import partial

from temporalio.client import Client

from db.core.connection import Database, connection
from db.orders.lock import lock_seat_directly
from db.orders.settle import settle_payment_directly
from db.teams.queries import read_team, read_team_facts
from domain.lifecycle import TeamStatus
from domain.messages.callbacks import Address
from domain.messages.orders import HeldSeat, LockSeat, SettledPayment, SettlePayment
from domain.messages.teams import RowsChanged
from tests.api.polling import until
from tests.workflows.play import SOURCE, Play, assert_view_equals_rows, publish
from workers.dispatcher import WakeUpDispatcher
from workflows.starters import wake_team


class Direct:
    """One team, whose buyers are admitted directly, and the dispatcher of its wake-ups."""

    def __init__(self, database: Database, team: Play, client: Client) -> None:
        self._database = database
        self.team = team
        self._tell = partial(wake_team, client, local_activities=True, task_queue=team.queue)
        self.dispatcher = WakeUpDispatcher(database, self._tell, at_once=8)

    async def lock(self, buyer: int) -> HeldSeat:
        lock = LockSeat(request=self.team.request(buyer), now=datetime.now(UTC))
        held, _ = await lock_seat_directly(self._database, lock, was_asked_before=False)
        return held

    async def pay(self, buyer: int) -> SettledPayment:
        payment = SettlePayment(report=self.team.report(buyer), now=datetime.now(UTC))
        return await settle_payment_directly(self._database, payment)

    async def wakeups(self) -> int:
        async with connection(self._database) as conn:
            return int(await conn.fetchval("SELECT count(*) FROM team_wakeups WHERE team_id = $1", self.team.team))

    async def wake(self) -> None:
        """Tells this team's workflow alone, as a dispatcher does, which tells all."""
        facts = await read_team_facts(self._database, [self.team.team])
        await self._tell(*facts[self.team.team], RowsChanged())

    async def until_taken_over(self) -> None:
        async def waiting() -> int:
            await self.dispatcher.tell_next()
            return await self.wakeups()

        await until(waiting, lambda count: count == 0)
        await assert_view_equals_rows(self.team, self._database)

    async def status(self) -> TeamStatus:
        found = await read_team(self._database, SOURCE, self.team.team)
        assert found is not None
        return found.status


async def play_directly(
    client: Client,
    database: Database,
    queue: str,
    callback: Address | None = None,
    *,
    task_timeout: timedelta | None = None,
    **changes: object,
) -> Direct:
    """A team of a campaign of its own; `changes` to the campaign's fields."""
    campaign, campaign_id, goods_id = await publish(database, **changes)
    team = Play(client, queue, campaign, campaign_id, goods_id, callback=callback, task_timeout=task_timeout)
    return Direct(database, team, client)
