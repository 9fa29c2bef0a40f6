"""What a stack is asked to be (Options), and everything that is decided before its first process starts (Plan)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from domain.networks import LOOPBACK
from embedded.data_dir import DEFAULT_DATA_DIR, DataDir
from embedded.keys import DemoKeys, demo_keys
from embedded.ports import HOST, Ports
from embedded.postgres import Binaries, EmbeddedPostgres, stable_port
from embedded.temporal import EmbeddedTemporal


@dataclass(frozen=True, kw_only=True)
class Options:
    """A port of 0 takes a free one. A server whose address is given is used and not started."""

    data_dir: Path = DEFAULT_DATA_DIR
    api_port: int = 0
    legacy_port: int = 0
    temporal_port: int = 0
    ui_port: int = 0
    mall_port: int = 0
    workers: int = 1
    database_url: str | None = None
    use_external_database: bool = False
    """also where no stack has made its tables"""
    temporal_address: str | None = None
    temporal_metrics_port: int | None = None
    """of the Temporal that is started here; without it, its metrics are not served"""
    temporal_ui_url: str | None = None
    amqp_url: str | None = None
    """RabbitMQ; without one, callbacks over it are dead"""
    services_only: bool = False
    """PostgreSQL without tables, and Temporal: for tests that bring the rest"""
    settings: Mapping[str, str] = field(default_factory=dict)
    """of workers and API, by their names in the environment, whose own values they replace"""

    @classmethod
    def from_environment(
        cls,
        data_dir: Path,
        *,
        api_port: int = 0,
        legacy_port: int = 0,
        temporal_port: int = 0,
        ui_port: int = 0,
        mall_port: int = 0,
        temporal_ui_url: str | None = None,
        workers: int = 1,
        use_external_database: bool = False,
    ) -> Self:
        """Takes the addresses of servers that run elsewhere from the environment."""
        return cls(
            data_dir=data_dir,
            api_port=api_port,
            legacy_port=legacy_port,
            temporal_port=temporal_port,
            ui_port=ui_port,
            mall_port=mall_port,
            workers=workers,
            database_url=os.environ.get("GROUPBUY_DATABASE_URL") or None,
            use_external_database=use_external_database,
            temporal_address=os.environ.get("TEMPORAL_ADDRESS") or None,
            temporal_ui_url=temporal_ui_url or os.environ.get("GROUPBUY_TEMPORAL_UI_URL") or None,
            amqp_url=os.environ.get("GROUPBUY_AMQP_URL") or None,
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    postgres: EmbeddedPostgres | None
    temporal: EmbeddedTemporal | None
    database_url: str
    temporal_address: str
    temporal_ui_url: str | None
    amqp_url: str | None
    api_port: int
    legacy_port: int
    mall_port: int
    keys: DemoKeys
    settings: Mapping[str, str]

    @classmethod
    def make(cls, options: Options, directory: DataDir, postgres_binaries: Binaries | None, temporal: Path | None) -> Self:
        """Reserves the ports. Without the binaries of a server, that server runs elsewhere.

        Raises:
            StackError: a port is not available.
        """
        ports = Ports()
        api_port = ports.reserve("the API", options.api_port, "--api-port")
        legacy_port = ports.reserve("the legacy format", options.legacy_port, "--legacy-port")
        mall_port = ports.reserve("the demo mall", options.mall_port, "--mall-port")
        embedded_temporal = embedded_postgres = None
        if temporal:
            temporal_port = ports.reserve("Temporal", options.temporal_port, "--temporal-port")
            ui_port = ports.reserve("Temporal's UI", options.ui_port, "--ui-port")
            embedded_temporal = EmbeddedTemporal(directory, temporal, temporal_port, ui_port, options.temporal_metrics_port)
        if postgres_binaries:
            embedded_postgres = EmbeddedPostgres(directory, postgres_binaries, stable_port(directory, ports))
        return cls(
            postgres=embedded_postgres,
            temporal=embedded_temporal,
            database_url=embedded_postgres.url if embedded_postgres else options.database_url or "",
            temporal_address=embedded_temporal.address if embedded_temporal else options.temporal_address or "",
            temporal_ui_url=embedded_temporal.ui_url if embedded_temporal else options.temporal_ui_url,
            amqp_url=options.amqp_url,
            api_port=api_port,
            legacy_port=legacy_port,
            mall_port=mall_port,
            keys=demo_keys(directory.keys),
            settings=options.settings,
        )

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api_port}"

    @property
    def legacy_url(self) -> str:
        return f"http://{HOST}:{self.legacy_port}"

    @property
    def console_url(self) -> str:
        return f"{self.api_url}/console/"

    @property
    def mall_url(self) -> str:
        return f"http://{HOST}:{self.mall_port}"

    def base_environment(self) -> dict[str, str]:
        """Returns our environment without what would lead libpq or the Temporal SDK to another server than ours."""
        foreign = ("PG",) * bool(self.postgres) + ("TEMPORAL_",) * bool(self.temporal)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        # The SDK also reads a file in the user's home: the profile there may be of a cloud, with its TLS and keys.
        return kept | {"TEMPORAL_CONFIG_FILE": os.devnull} if self.temporal else kept

    def api_environment(self) -> dict[str, str]:
        """Returns the environment of the API."""
        application = self.application_environment()
        return {
            "GROUPBUY_LEGACY_DCC_NETWORKS": ", ".join(map(str, LOOPBACK)),
            "GROUPBUY_CONSOLE_SECRET": self.keys.console_secret,
            **application,
            "GROUPBUY_API_PORT": str(self.api_port),
            "GROUPBUY_LEGACY_PORT": str(self.legacy_port),
        }

    def application_environment(self) -> dict[str, str]:
        """Returns the environment of worker and API."""
        ui = {"GROUPBUY_TEMPORAL_UI_URL": self.temporal_ui_url} if self.temporal_ui_url else {}
        console = {"GROUPBUY_CONSOLE_URL": self.console_url}
        broker = {"GROUPBUY_AMQP_URL": self.amqp_url} if self.amqp_url else {}
        addresses = {"GROUPBUY_DATABASE_URL": self.database_url, "TEMPORAL_ADDRESS": self.temporal_address}
        return {**self.base_environment(), **self.settings, **addresses, **console, **ui, **broker}
