"""Schemathesis sends whatever the OpenAPI document admits, and what it does not, to every operation."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from api.app import create_legacy_app
from embedded.stack import Stack
from tests.contract import checks

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
EXAMPLES = 5
"""random requests per operation, after those that it derives from the document"""
OF_ANSWERS = (
    "only_meant_server_errors",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
)
OPTIONS = (
    *("--phases", "examples,coverage,fuzzing"),
    f"--max-examples={EXAMPLES}",
    *("--suppress-health-check", "all"),
    *("--warnings", "off"),
    "--no-color",
)


async def finds_nothing(folder: Path, document: str, url: str, *options: str, also: tuple[str, ...] = ()) -> None:
    """Runs it in a process of its own; its report is shown if it has found something."""
    process = await asyncio.create_subprocess_exec(
        *(str(SCHEMATHESIS), "run", document, f"--url={url}", f"--checks={','.join((*OF_ANSWERS, *also))}", *OPTIONS, *options),
        cwd=folder,
        # The table of Unicode that hypothesis makes at its first start is found by the next run.
        env={**os.environ, "SCHEMATHESIS_HOOKS": checks.__name__, "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await process.communicate()
    assert process.returncode == 0, report.decode()


@pytest.mark.parametrize("whose", ["malls", "operators"])
async def test_every_answer_is_as_the_document_says(stack: Stack, tmp_path: Path, whose: str) -> None:
    api, key, tag = stack.addresses.api_url, stack.addresses.ops_key, "--exclude-tag=mall"
    if whose == "malls":
        key, tag = stack.addresses.mall_key, "--include-tag=mall"
    authorization = f"--header=Authorization: Bearer {key}"
    await finds_nothing(tmp_path, f"{api}/openapi.json", api, tag, authorization, also=("bad_bodies_are_refused",))


async def test_every_legacy_answer_is_as_its_document_says(stack: Stack, tmp_path: Path) -> None:
    """It says no in a 200."""
    document = tmp_path / "legacy.json"
    document.write_text(json.dumps(create_legacy_app().openapi()))
    await finds_nothing(tmp_path, str(document), stack.addresses.legacy_url)
