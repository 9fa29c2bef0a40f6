"""`groupbuy check` against an installation: what it does, and what it says when something is wrong."""

import asyncio
import re

from tests.deploy.installation import Installation
from tests.deploy.installed.conftest import TEAMS, Checked


async def test_an_installed_wheel_does_all_that_the_check_asks_for(installed: Installation, checked: Checked) -> None:
    assert checked.code == 0, checked.stdout + checked.stderr
    assert "FAIL" not in checked.stdout
    assert re.search(r"all \d\d steps passed, in \d+\.\d s", checked.stdout)
    assert re.search(rf"Load: {TEAMS * 6} calls", checked.stdout)
    assert installed.admin_key not in checked.stdout + checked.stderr


async def test_the_check_says_what_is_wrong(installed: Installation) -> None:
    wrong_key, no_api = await asyncio.gather(
        installed.check(GROUPBUY_ADMIN_KEY="gb_ops_wrong"),
        installed.environment.run(["groupbuy", "check", "--api", "http://127.0.0.1:9"], GROUPBUY_ADMIN_KEY="gb_ops_x"),
    )
    assert wrong_key[0] == 1
    assert "FAIL" in wrong_key[1]
    assert "401 unauthorized" in wrong_key[1]
    assert no_api[0] == 1
    assert "no answer from http://127.0.0.1:9" in no_api[1]


async def test_a_callback_that_does_not_arrive_is_said(installed: Installation) -> None:
    # The workers cannot call this name; nobody waits as long as for a mall that is slow.
    short = "import cli.check.command as c, cli.main; c.WAIT_TIMEOUT = 1; cli.main.main()"
    code, stdout, stderr = await installed.environment.run(
        ["python", "-c", short, "check", "--api", installed.api_url, "--callback-host", "nobody.invalid"],
        GROUPBUY_ADMIN_KEY=installed.admin_key,
    )
    assert code == 1
    assert re.search(
        r"FAIL +\d+\.\d s  The mall is called back to ship\n +waited 1 s in vain for team\.completed to reach", stdout
    )
    assert "nobody.invalid" in stdout
    assert re.search(r"Error: \d of \d\d steps failed, in \d+\.\d s", stderr)
    assert "ok" in stdout.splitlines()[-2]
