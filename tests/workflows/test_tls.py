"""A Temporal that takes callers with a certificate of its authority alone, as the environment of a process describes it."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from embedded.ports import HOST
from embedded.stack import Stack
from tests.certificates import certified_callers_only, certify, found, needs_openssl, settings_of_caller
from tests.line import Line
from workflows.client import connect

pytestmark = needs_openssl


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    for authority in ("ours", "theirs"):
        found(tmp_path, authority)
    certify(tmp_path, "server", "ours")
    certify(tmp_path, "client", "ours")
    certify(tmp_path, "stranger", "theirs")
    return tmp_path


@pytest.fixture
async def address(services: Stack, certificates: Path) -> AsyncIterator[str]:
    tls = certified_callers_only(certificates, "server", "ours")
    host, _, port = services.addresses.temporal_address.rpartition(":")
    async with Line(host, int(port), tls) as line:
        yield f"{HOST}:{line.port}"


async def test_a_certificate_of_the_authority_opens(certificates: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
    for name, value in settings_of_caller(certificates, address, "client").items():
        monkeypatch.setenv(name, value)
    client = await connect()
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    assert described.namespace_info.name == "default"


@pytest.mark.parametrize(
    ("client", "authority"), [(None, "ours"), ("stranger", "ours"), ("client", "theirs")], ids=["none", "stranger", "server"]
)
async def test_nothing_else_does(
    certificates: Path, address: str, monkeypatch: pytest.MonkeyPatch, client: str | None, authority: str
) -> None:
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
    for name, value in settings_of_caller(certificates, address, client, authority).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError):
        await connect()
