"""A rule's job: the same members wherever its worker dies; given up, it leaves the former ones. On Temporal's own server."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client, WorkflowFailureError

import db.audiences.clean_up
import db.audiences.imports
from db.core.connection import Database
from domain.schemas.audiences import AudienceRule, ImportStatus
from embedded.stack import Stack
from tests.workflows.audiences import LONG_AGO, Audience
from tests.workflows.crashing_worker import SOON, crashing
from tests.workflows.play import Play, publish, working
from workflows import activity_calls as steps


def rule() -> AudienceRule:
    return AudienceRule(min_orders=1, since=LONG_AGO, until=datetime.now(UTC) + timedelta(hours=1))


async def bought(client: Client, database: Database) -> set[str]:
    """Two buyers who have paid, beside one who has not."""
    campaign, campaign_id, goods_id = await publish(database)
    async with working(client, database) as queue:
        team = Play(client, queue, campaign, campaign_id, goods_id)
        await team.open()
        for buyer in (2, 3):
            await team.join(buyer)
        for buyer in (1, 2):
            await team.pay(buyer)
        await team.handle.terminate()
    return {team.request(buyer).user_id for buyer in (1, 2, 3)}


TAKE, DELETE = "db.audiences.imports.import_users", "db.audiences.clean_up.delete_members"


@pytest.mark.parametrize("point", [f"{TAKE}:after", f"{TAKE}:after:2", f"{DELETE}:after"], ids=lambda point: point[13:])
async def test_a_job_goes_on_wherever_its_worker_dies(
    client: Client, database: Database, services: Stack, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr(steps, "BATCH", SOON)
    buyers = await bought(client, database)
    audience = await Audience.made(client, database)
    await audience.uploaded("former")
    import_id = await audience.begin(rule())

    async with crashing(services.addresses, point, "unused"):
        await audience.start(import_id)
    async with working(client, database):
        result = await audience.handle(import_id).result()

    members = await audience.members()
    assert len(members & buyers) == 2
    assert result == f"done: {len(members)} members"
    done = await audience.latest_import()
    assert (done.status, done.accepted, done.member_count) == (ImportStatus.DONE, len(members), len(members))


async def test_a_cancelled_job_leaves_the_former_members(client: Client, database: Database) -> None:
    audience = await Audience.made(client, database)
    await audience.uploaded("former")
    import_id = await audience.begin(rule())
    await audience.start(import_id)
    await audience.handle(import_id).cancel()

    async with working(client, database):
        with pytest.raises(WorkflowFailureError):
            await audience.handle(import_id).result()

    assert await audience.members() == {"former"}
    assert (await audience.latest_import()).failure == "Its workflow was cancelled."
    await audience.begin(rule())  # the way is free


async def test_a_defect_ends_the_job_and_is_told(client: Client, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise LookupError("no row")

    monkeypatch.setattr(db.audiences.imports, "import_users", broken)
    audience = await Audience.made(client, database)
    await audience.uploaded("former")
    import_id = await audience.begin(rule())

    async with working(client, database):
        await audience.start(import_id)
        with pytest.raises(WorkflowFailureError):
            await audience.handle(import_id).result()

    assert await audience.members() == {"former"}
    assert (await audience.latest_import()).failure == "A defect stopped it: LookupError: no row"


async def test_what_an_upload_replaced_is_deleted(client: Client, database: Database) -> None:
    audience = await Audience.made(client, database)
    await audience.uploaded("former")
    import_id = await audience.uploaded("u1", "u2")
    async with working(client, database):
        await audience.start(import_id)
        assert await audience.handle(import_id).result() == "done: 2 members"

    assert await audience.members() == {"u1", "u2"}
