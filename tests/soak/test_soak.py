"""Five hundred operations with a few faults; `make soak` makes as many as one likes."""

import pytest

from tests.api.caller import http_session
from tests.soak.checker import broken, check, never_exercised
from tests.soak.history import ENGINE_AWAY
from tests.soak.platform import running_platform
from tests.soak.play import Run, Scenario
from tests.soak.trouble import QUICK

MORE_ROUNDS, MORE_OPERATIONS = 2, 400
"""each of which tells every story once more"""


@pytest.mark.timeout(420)
async def test_five_hundred_operations() -> None:
    async with http_session() as http, running_platform(http) as platform:
        run = Run(platform, Scenario(seed=13, operations=500, faults=4, kinds=QUICK, first_kinds=(ENGINE_AWAY,), callers=8))
        history, rows = await run.play()
        for _ in range(MORE_ROUNDS):
            # On a machine that is busy with other things, a race that a rule waits for may not have come about.
            if never_exercised(check(history, rows)):
                history, rows = await run.go_on(MORE_OPERATIONS)
    verdicts = check(history, rows)
    assert broken(verdicts) == []
    assert never_exercised(verdicts) == []
    assert len(history.operations) >= 500
