"""Every committed history replays: inside the sandbox, and as the worker process runs workflows."""

import hashlib
import re
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from tests.histories.record import AUDIENCES, EXPORTS, STORIES
from workers.queues import WORKFLOWS
from workflows.client import data_converter

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "histories"
HISTORIES = sorted(FOLDER.glob("*.json"))


def history(name: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(name, (FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("runner", [SandboxedWorkflowRunner(), UnsandboxedWorkflowRunner()], ids=["sandbox", "plain"])
@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_history_replays(path: Path, runner: WorkflowRunner) -> None:
    replayer = Replayer(workflows=WORKFLOWS, data_converter=data_converter, workflow_runner=runner)
    await replayer.replay_workflow(history(path.stem))


def test_the_histories_and_the_migration_of_version_1_are_as_they_were() -> None:
    for line in (FOLDER / "1.0.0.sha256").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == digest, name


def test_every_story_has_a_history() -> None:
    of_other_workflows = re.compile(r"(_refund_\d+_\d+|_payment_\d+|_shutdown|_callback|_redelivery)?(_\d+)?$")
    recorded = {of_other_workflows.sub("", path.stem) for path in HISTORIES}
    assert recorded == {*STORIES, *AUDIENCES, *EXPORTS}


def test_a_completed_team_of_three_has_at_most_52_events_after_its_callback() -> None:
    kinds = [event.event_type for event in history("completed").events]
    delivered = kinds.index(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
    window_over = kinds.index(EventType.EVENT_TYPE_TIMER_FIRED)
    assert delivered < window_over <= 52
