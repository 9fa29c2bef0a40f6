"""A Temporal that takes callers with a certificate of its authority alone, as the environment of a process describes it."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from embedded.ports import HOST
from embedded.stack import Stack
from tests.certificates import NAME, certify, found, needs_openssl
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
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ours.crt"))
    tls.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.set_alpn_protocols(["h2"])
    host, _, port = services.addresses.temporal_address.rpartition(":")
    async with Line(host, int(port), tls) as line:
        yield f"{HOST}:{line.port}"


def environment(certificates: Path, address: str, client: str | None, authority: str = "ours") -> dict[str, str]:
    """As in docs/production.md."""
    of_client = {
        "TEMPORAL_TLS_CLIENT_CERT_PATH": str(certificates / f"{client}.crt"),
        "TEMPORAL_TLS_CLIENT_KEY_PATH": str(certificates / f"{client}.key"),
    }
    return {
        "TEMPORAL_CONFIG_FILE": str(certificates / "none.toml"),
        "TEMPORAL_ADDRESS": address,
        "TEMPORAL_TLS": "true",
        "TEMPORAL_TLS_SERVER_NAME": NAME,
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(certificates / f"{authority}.crt"),
        **(of_client if client else {}),
    }


async def test_a_certificate_of_the_authority_opens(certificates: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (certificates / "none.toml").touch()
    for name, value in environment(certificates, address, "client").items():
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
    (certificates / "none.toml").touch()
    for name, value in environment(certificates, address, client, authority).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError):
        await connect()
