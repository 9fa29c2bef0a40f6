"""A real Prometheus that scrapes an installation: Debian's, where it is installed."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from embedded.ports import HOST, free_port

PROMETHEUS = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed: apt-get install prometheus")

SCRAPE_EVERY = "500ms"
WINDOW = "5s"
"""of rates: several scrapes"""
WITHIN = 20.0


class Prometheus:
    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def query(self, expression: str) -> list[Any]:
        """Returns the series that a panel's expression has now."""
        parameters = {"query": expression.replace("$__rate_interval", WINDOW)}
        async with self._http.get(f"{self._url}/api/v1/query", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", (expression, answer)
        found: list[Any] = answer["data"]["result"]
        return found

    async def until(self, expression: str, within: float = WITHIN) -> None:
        async with asyncio.timeout(within):
            while True:
                try:
                    if await self.query(expression):
                        return
                except (
                    aiohttp.ClientConnectionError,
                    aiohttp.ContentTypeError,
                ):  # while it starts, nothing or 503 in plain text
                    pass
                await asyncio.sleep(0.1)


@asynccontextmanager
async def scraping(jobs: dict[str, str], *rules: Path) -> AsyncIterator[Prometheus]:
    """Scrapes these jobs, each at its port, and evaluates these rules; when the block begins, rates can be asked for."""
    assert PROMETHEUS
    scrapes = [{"job_name": job, "static_configs": [{"targets": [f"{HOST}:{port}"]}]} for job, port in jobs.items()]
    intervals = {"scrape_interval": SCRAPE_EVERY, "evaluation_interval": SCRAPE_EVERY}
    config = {"global": intervals, "rule_files": [str(path) for path in rules], "scrape_configs": scrapes}
    with tempfile.TemporaryDirectory(prefix="groupbuy-prometheus-") as folder:
        file = Path(folder) / "prometheus.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        address = f"{HOST}:{free_port()}"
        process = await asyncio.create_subprocess_exec(
            PROMETHEUS,
            f"--config.file={file}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with aiohttp.ClientSession() as http:
                prometheus = Prometheus(http, f"http://{address}")
                for job in jobs:
                    await prometheus.until(f'count_over_time(up{{job="{job}"}}[{WINDOW}]) > 3')
                yield prometheus
        finally:
            process.terminate()
            await process.wait()
