"""The one way to connect to Temporal: API, worker, tools and tests agree on the data converter."""

from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime
from temporalio.service import GrpcCompression

# The converters of temporalio.contrib.pydantic, made once. The SDK makes a payload converter for every workflow task and
# every command; theirs builds a JSON converter each time.
CONVERTERS = tuple(
    PydanticJSONPlainPayloadConverter() if isinstance(converter, JSONPlainPayloadConverter) else converter
    for converter in DefaultPayloadConverter.default_encoding_payload_converters
)


class PayloadConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(*CONVERTERS)


data_converter = DataConverter(payload_converter_class=PayloadConverter)


async def connect(*, runtime: Runtime | None = None) -> Client:
    """Connects as the environment says (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TLS, …), like Temporal's own CLI.

    Raises:
        RuntimeError: the server cannot be reached.
    """
    found = ClientConfig.load_client_connect_config()
    return await Client.connect(
        **found,
        data_converter=data_converter,
        runtime=runtime,
        # Our messages are a few hundred bytes: gzip, the default, costs more CPU on both sides than it saves.
        grpc_compression=GrpcCompression.NONE,
    )
