"""Log lines as JSON: with the ids of the request, or of the workflow, in which they were written."""

import asyncio
import json
import logging
import sys

import asyncpg
import pytest
from temporalio.testing import ActivityEnvironment

from logs import JsonFormatter, request_id

log = logging.getLogger("groupbuy.tests")


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    caplog.handler.setFormatter(JsonFormatter())
    return caplog


def lines(written: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(line) for line in written.text.splitlines()]


async def test_a_line_names_the_request_it_was_written_in(written: pytest.LogCaptureFixture) -> None:
    async def answer(name: str) -> None:
        request_id.set(name)
        await asyncio.sleep(0)
        log.warning("of %s", name)

    await asyncio.gather(answer("r1"), answer("r2"))
    log.warning("of 拼团")
    assert [(line.get("request_id"), line["message"]) for line in lines(written)] == [
        ("r1", "of r1"),
        ("r2", "of r2"),
        (None, "of 拼团"),
    ]


@pytest.mark.parametrize(
    ("workflow_id", "ids"),
    [
        ("team-hbjsth26", {"team_id": "hbjsth26"}),
        ("refund-bcgu26-2", {"order_id": "bcgu26"}),
        ("payment-bcgu26", {"order_id": "bcgu26"}),
        ("callbacks-s01-7", {}),
    ],
)
def test_a_line_names_the_workflow_whose_activity_wrote_it(
    written: pytest.LogCaptureFixture, workflow_id: str, ids: dict[str, str]
) -> None:
    environment = ActivityEnvironment()
    environment.info = environment.default_info()
    environment.info = type(environment.info)(**{**vars(environment.info), "workflow_id": workflow_id})
    environment.run(log.warning, "it failed")
    [line] = lines(written)
    assert line.pop("time")
    about = {"workflow_id": workflow_id, "activity_type": environment.info.activity_type, "attempt": 1, **ids}
    assert line == {"level": "WARNING", "logger": "groupbuy.tests", "message": "it failed", **about}


def test_an_exception_is_written_without_the_values_of_rows() -> None:
    failure = asyncpg.UniqueViolationError("duplicate key")
    failure.detail = "Key (team_id, user_id)=(t1, u1) already exists."
    try:
        raise failure
    except asyncpg.UniqueViolationError:
        record = logging.LogRecord("groupbuy.tests", logging.ERROR, __file__, 1, "unexpected error", None, sys.exc_info())
    line = json.loads(JsonFormatter().format(record))
    assert "duplicate key" in line["exception"]
    assert "u1" not in json.dumps(line)
