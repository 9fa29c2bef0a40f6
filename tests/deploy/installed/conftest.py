"""One installation for all tests of this folder (in one xdist process), and the check under a load that it has gone through."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from temporalio.client import ScheduleOverlapPolicy

from tests.deploy.installation import Installation, installation, payload_keys
from tests.deploy.versions import set_current, until_it_has_teams
from workflows.schedules import RECONCILIATION_ID

TEAMS = 60


@pytest.fixture(scope="package")
async def installed() -> AsyncIterator[Installation]:
    async with installation() as running:
        yield running


@dataclass
class Checked:
    """What `groupbuy check` has said while the workers were replaced."""

    code: int
    stdout: str
    stderr: str
    metrics: str
    """of the worker that was replaced"""


@pytest.fixture(scope="package")
async def checked(installed: Installation) -> Checked:
    """The check with a load, during which workers of another version take over; it leaves a trace in every metric and log."""
    command = ["groupbuy", "check", "--api", installed.api_url, "--load", str(TEAMS)]
    process = await installed.environment.start(command, GROUPBUY_ADMIN_KEY=installed.admin_key)
    # It also encrypts with another key.
    starting = asyncio.create_task(installed.start_worker("b", GROUPBUY_PAYLOAD_KEYS=payload_keys("two", "one")))
    assert process.stdout
    said = b""
    while line := await process.stdout.readline():
        said += line
        if b"The feed has every callback" in line:  # the load is next
            await starting
            await set_current(installed.temporal, "b")
            # A task for every team, also where the load should be over already.
            woken = await installed.environment.run(["groupbuy", "wake", "--all"], **installed.settings)
            assert woken[0] == 0, woken
            await until_it_has_teams(installed.temporal, "b")
            await installed.temporal.get_schedule_handle(RECONCILIATION_ID).trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE)
            metrics = await installed.metrics("worker-a")
            await installed.stop("worker-a")
    _, errors = await process.communicate()
    assert process.returncode is not None
    return Checked(process.returncode, said.decode(), errors.decode(), metrics)
