"""Five hundred operations with a few faults; `make soak` makes as many as one likes."""

import pytest

from tests.api.caller import http_session
from tests.soak.checker import broken, check, never_exercised
from tests.soak.platform import running_platform
from tests.soak.play import Run, Scenario
from tests.soak.trouble import QUICK


@pytest.mark.timeout(420)
async def test_five_hundred_operations() -> None:
    async with http_session() as http, running_platform(http) as platform:
        history, rows = await Run(platform, Scenario(seed=13, operations=500, faults=4, kinds=QUICK)).play()
    verdicts = check(history, rows)
    assert broken(verdicts) == []
    assert never_exercised(verdicts) == []
    assert len(history.operations) >= 500
