"""The one way to connect to Temporal: API, worker, tools and tests agree on the data converter."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime
from temporalio.service import GrpcCompression

from workflows.console_links import ConsoleLinks
from workflows.encryption import PayloadEncryption
from workflows.operator_signals import UndecodablePayload
from workflows.trace_context import TraceContext

# The converters of temporalio.contrib.pydantic, created once. The SDK creates a payload converter for every workflow task and
# every command; theirs builds a JSON converter each time.
CONVERTERS = tuple(
    PydanticJSONPlainPayloadConverter() if isinstance(converter, JSONPlainPayloadConverter) else converter
    for converter in DefaultPayloadConverter.default_encoding_payload_converters
)


class PayloadConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(*CONVERTERS)

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """A payload without a type comes from a person: its handler parses it, so the SDK must not drop it or retry forever."""
        if type_hints:
            return super().from_payloads(payloads, type_hints)
        return [self._untyped(payload) for payload in payloads]

    def _untyped(self, payload: Payload) -> object:
        try:
            return super().from_payloads([payload])[0]
        except (KeyError, RuntimeError, ValueError):
            return UndecodablePayload()


DEFAULT_ADDRESS = "localhost:7233"

# The SDK's runtime starts a thread per core, and every hand-over between threads costs CPU. Python keeps at most one core busy,
# and that runtime a fifth of it. The SDK has no option for this; its first runtime reads the variable.
os.environ.setdefault("TOKIO_WORKER_THREADS", "1")

data_converter = DataConverter(payload_converter_class=PayloadConverter)


def data_converter_of(environment: Mapping[str, str]) -> DataConverter:
    """Returns the data converter, with the encryption that the environment asks for."""
    encryption = PayloadEncryption.of(environment)
    if encryption is None:
        return data_converter
    # The texts of failures quote what they are about.
    failures = DefaultFailureConverterWithEncodedAttributes
    return replace(data_converter, payload_codec=encryption, failure_converter_class=failures)


async def connect(
    *,
    runtime: Runtime | None = None,
    lazy: bool = False,
    address: str | None = None,
    console_url: str | None = None,
    traced: bool = False,
) -> Client:
    """Connects as the environment says (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TLS, …), like Temporal's own CLI.

    No caller can forget the encryption of payloads (GROUPBUY_PAYLOAD_KEYS), which is read here, too.

    Args:
        runtime: the SDK's runtime; None: its default one.
        lazy: the connection is made by the first call, which raises the RuntimeError.
        address: instead of what the environment says.
        console_url: where the console is, to which the histories of workflows link that this client starts; None: nowhere.
        traced: the traces of requests go on in the workflows that they call, and in the activities of workers with this client.

    Raises:
        RuntimeError: the server cannot be reached.
    """
    config = ClientConfig.load_client_connect_config()
    if address is not None:
        config["target_host"] = address
    config.setdefault("target_host", DEFAULT_ADDRESS)  # the CLI has this default, and the SDK has none
    return await Client.connect(
        **config,
        data_converter=data_converter_of(os.environ),
        runtime=runtime,
        lazy=lazy,
        interceptors=[*([ConsoleLinks(console_url)] if console_url else []), *[TraceContext()] * traced],
        # Our messages are a few hundred bytes: gzip, the default, costs more CPU on both sides than it saves.
        grpc_compression=GrpcCompression.NONE,
    )
