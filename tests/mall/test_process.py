"""`python -m mall` as a process of its own, as the stack starts it."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.api.polling import until
from tests.mall.conftest import SECRET, Mall, event


@asynccontextmanager
async def _process(state: Path, **overrides: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        "MALL_PORT": "0",
        "MALL_API_URL": "http://127.0.0.1:1",
        "MALL_KEY": "mall-key-value",
        "MALL_WEBHOOK_SECRET": SECRET,
        "MALL_STATE": str(state),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mall", stderr=asyncio.subprocess.PIPE, env=os.environ | environment | overrides
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    """Returns the address that uvicorn logs once it listens."""
    assert process.stderr is not None
    async for line in process.stderr:
        if found := re.search(r"running on (http://\S+)", line.decode()):
            return found[1]
    raise AssertionError("the mall ended before it listened")


async def test_acknowledged_events_survive_sigkill_and_sigterm_ends_delayed_answers(tmp_path: Path) -> None:
    state = tmp_path / "not-yet" / "mall.sqlite"
    body = event("order.refunded", 1, team_id="t1", out_trade_no="a", amount="80.00")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
        async with _process(state) as process:
            mall = Mall(await _address(process), http)
            assert (await mall.send("evt_1", body)).body["duplicate"] is False
            process.kill()
        async with _process(state) as process:
            mall = Mall(await _address(process), http)
            assert (await mall.send("evt_1", body)).body["duplicate"] is True
            assert await mall.to_do() == {"a": "money back"}
            await mall.switch(mood="slow")
            delayed = asyncio.create_task(mall.send("evt_2", event("order.reseated", 2, team_id="t1", out_trade_no="b")))
            await until(mall.to_do, lambda tasks: "b" in tasks)
            process.terminate()
            assert (await delayed).status == 200
            _, errors = await process.communicate()
            assert b"Traceback" not in errors


async def test_an_invalid_environment_is_reported_without_the_secret(tmp_path: Path) -> None:
    async with _process(tmp_path / "mall.sqlite", MALL_WEBHOOK_SECRET="whsec_mistyped1", MALL_PORT="x") as process:
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"Standard Webhooks secret" in errors
    assert b"port" in errors
    assert b"mistyped1" not in errors
    assert b"Traceback" not in errors
