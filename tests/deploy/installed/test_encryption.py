"""What Temporal keeps is encrypted, and shown to those who may read it."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from google.protobuf.json_format import MessageToJson
from temporalio.api.common.v1 import Payload

from tests.deploy.buyers import BUYER
from tests.deploy.installation import UI_URL, Installation, payload_keys
from workflows.encryption import KEYS, PayloadEncryption


@pytest.mark.usefixtures("checked")
async def test_temporal_keeps_nothing_that_names_a_buyer(installed: Installation) -> None:
    teams = [team async for team in installed.temporal.list_workflows("WorkflowType = 'TeamWorkflow'", limit=20)]
    refunds = [refund async for refund in installed.temporal.list_workflows("WorkflowType = 'RefundWorkflow'", limit=20)]
    kept = ""
    for found in (*teams, *refunds):
        handle = installed.temporal.get_workflow_handle(found.id, run_id=found.run_id)
        kept += f"{found} {await handle.fetch_history()}"
    assert len(teams) + len(refunds) > 20
    assert set(re.findall(r'"encryption-key-id"\s+value: "(\w+)"', kept)) == {"one", "two"}
    assert BUYER.findall(kept.encode()) == []
    assert "lock a seat" not in kept  # summaries are encrypted, too
    # With a key of operations, Temporal's own CLI shows it.
    codec = ("--codec-endpoint", f"{installed.api_url}/v1/ops/payloads", "--codec-auth", f"Bearer {installed.admin_key}")
    shown = await installed.temporal_cli("workflow", "show", "--workflow-id", teams[0].id, "--output", "json", *codec)
    assert b'"source":"check"' in b"".join(map(base64.b64decode, re.findall(rb'"data": "([^"]+)"', shown)))


async def test_what_is_encrypted_is_shown_to_whom_may_read(installed: Installation) -> None:
    key = {"Authorization": f"Bearer {installed.admin_key}"}
    one, other = payload_keys("one"), f"three:{base64.b64encode(bytes(32)).decode()}"
    encrypted, foreign = [
        {
            "payloads": [
                json.loads(MessageToJson(payload)) for payload in await encryption.encode([Payload(data=b"ana" * 40_000)])
            ]
        }
        for encryption in (PayloadEncryption.of({KEYS: keys}) for keys in (one, other))
        if encryption
    ]
    plain = {"payloads": [{"data": base64.b64encode(b"ana" * 40_000).decode()}]}
    url = f"{installed.api_url}/v1/ops/payloads"
    async with aiohttp.ClientSession() as http:

        async def post(path: str, json: object, headers: Mapping[str, str]) -> tuple[int, Any]:
            async with http.post(f"{url}/{path}", json=json, headers=headers) as response:
                return response.status, await response.json(content_type=None)

        assert await post("decode", encrypted, key) == (200, plain)
        assert await post("decode", plain, key) == (200, plain)
        assert (await post("decode", (await post("encode", plain, key))[1], key)) == (200, plain)
        assert (await post("decode", encrypted, {}))[0] == 401
        for body in (foreign, {"payloads": 1}, {"payloads": [{"data": 1}]}):
            assert (await post("decode", body, key))[1]["code"] == "invalid_request"


async def test_temporals_ui_shows_it_in_the_browser_of_whom_is_signed_in(installed: Installation) -> None:
    plain, ui = {"payloads": [{"data": "YW5h"}]}, {"Origin": UI_URL}
    url = f"{installed.api_url}/console/payloads"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:

        async def ask(method: str, **headers: str) -> tuple[int, str | None]:
            async with http.request(method, f"{url}/decode", json=plain, headers=headers) as response:
                allowed = response.headers.get("Access-Control-Allow-Origin")
                assert response.status != 200 or (await response.json()) == plain
                return response.status, allowed

        assert await ask("OPTIONS", **ui) == (204, UI_URL)
        assert await ask("OPTIONS", Origin=installed.api_url) == (403, None)
        assert await ask("POST", **ui) == (401, UI_URL)
        async with http.post(f"{installed.api_url}/console/sign-in", data={"key": installed.admin_key}) as response:
            assert response.status == 200
        assert await ask("POST", **ui) == (200, UI_URL)
        assert await ask("POST", Origin=installed.api_url) == (403, None)
        assert await ask("POST") == (403, None)
