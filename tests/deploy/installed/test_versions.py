"""Versions of the workers take over from each other; one that does not fit is taken back."""

import re

import pytest

from cli.demo.refund_actions import RefundActions
from domain.ids import team_workflow_id
from tests.deploy.buyers import buyers
from tests.deploy.installation import Installation
from tests.deploy.versions import DOES_NOT_REPLAY, set_current, until_drained

NOTICED = r'temporal_workflow_task_execution_failed\{[^}]*workflow_type="TeamWorkflow"[^}]*\} [1-9]'


@pytest.mark.usefixtures("checked")
async def test_the_version_that_was_replaced_is_drained(installed: Installation) -> None:
    await until_drained(installed.temporal, "a")


async def test_a_version_whose_code_does_not_fit_is_noticed_and_taken_back(installed: Installation) -> None:
    async with buyers(installed) as session:
        opener = (await session.lock("vera")).body
        await installed.start_worker("c", ["python", "-c", DOES_NOT_REPLAY])
        await set_current(installed.temporal, "c")
        # Trade does not wait for the workflow, whose tasks fail.
        joined = (await session.lock("will", opener.team_id)).body
        await session.pay("will", joined)
        begun = (await session.lock("yuri")).body

        async def failures() -> bool:
            return re.search(NOTICED, await installed.metrics("worker-c")) is not None

        await session.until("the failure to be counted", failures, bool)
        await set_current(installed.temporal, "b")
        await installed.stop("worker-c")

        last = (await session.lock("xena", opener.team_id)).body
        await session.pay("vera", opener)
        await session.pay("xena", last)
        await session.callbacks(opener.team_id, ("team.completed", None))
        # What the version has begun has its timer, does not replay with the earlier code, and begins anew from the rows.
        await installed.temporal.get_workflow_handle(team_workflow_id(begun.team_id)).terminate()
        members = {"yuri": begun, **{name: (await session.lock(name, begun.team_id)).body for name in ("zoe", "abe")}}
        for name, order in members.items():
            await session.pay(name, order)
        await session.callbacks(begun.team_id, ("team.completed", None))
        refund = RefundActions(session)
        await refund.refund("will", joined, "changed my mind", "paid_formed")
        await refund.money_returned("will", joined)
        await session.require_invariants()
    assert "Nondeterminism" in installed.outputs["worker-c"].decode()
