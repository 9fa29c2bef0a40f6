"""An update whose workflow is not ready is made again, a few times; one that failed otherwise is not."""

import pytest
from temporalio.service import RPCError, RPCStatusCode

from api.http import temporal_errors
from api.http.temporal_errors import repeat_until_ready


@pytest.mark.parametrize(
    ("status", "failures", "tries"),
    [
        (RPCStatusCode.FAILED_PRECONDITION, 0, 1),
        (RPCStatusCode.FAILED_PRECONDITION, 3, 4),
        (RPCStatusCode.FAILED_PRECONDITION, 4, 4),
        (RPCStatusCode.UNAVAILABLE, 1, 1),
    ],
)
async def test_an_update_is_made_again_until_its_workflow_is_ready(
    monkeypatch: pytest.MonkeyPatch, status: RPCStatusCode, failures: int, tries: int
) -> None:
    monkeypatch.setattr(temporal_errors, "READY_AFTER", (0.0, 0.0, 0.0))
    made = 0

    async def update() -> str:
        nonlocal made
        made += 1
        if made <= failures:
            raise RPCError("workflow not ready", status, b"")
        return "done"

    if failures < tries:
        assert await repeat_until_ready(update) == "done"
    else:
        with pytest.raises(RPCError):
            await repeat_until_ready(update)
    assert made == tries
