"""The one way to connect to Temporal: API, worker, tools and tests agree on the data converter."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime


async def connect(*, runtime: Runtime | None = None) -> Client:
    """Connects as the environment says (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TLS, …), like Temporal's own CLI.

    Raises:
        RuntimeError: the server cannot be reached.
    """
    found = ClientConfig.load_client_connect_config()
    return await Client.connect(**found, data_converter=pydantic_data_converter, runtime=runtime)
