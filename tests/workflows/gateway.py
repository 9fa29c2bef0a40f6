"""What stands before a Temporal that is rented: TLS, a key of the caller's, and a quota."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]

from embedded.ports import HOST


class Gateway(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Passes every call on to Temporal whose caller has the key, unless it is to be refused."""

    def __init__(self, channel: Any, key: str) -> None:  # noqa: ANN401
        self._channel = channel
        self._key = key
        self.port = 0
        self.over_quota: Counter[str] = Counter()
        """how many of the next calls are refused, by method"""
        self.refused: Counter[str] = Counter()

    def service(self, details: Any) -> Any:  # noqa: ANN401
        return grpc.unary_unary_rpc_method_handler(partial(self._pass, details.method))

    async def _pass(self, path: str, request: bytes, context: Any) -> bytes:  # noqa: ANN401
        given = dict(context.invocation_metadata())
        if given.get("authorization") != f"Bearer {self._key}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request unauthorized.")
        method = path.rpartition("/")[2]
        if self.over_quota[method] > 0:
            self.over_quota[method] -= 1
            self.refused[method] += 1
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "namespace rate limit exceeded")
        kept = [(name, value) for name, value in given.items() if not name.startswith("grpc-") and name != "user-agent"]
        try:
            answer: bytes = await self._channel.unary_unary(path)(request, metadata=kept, timeout=context.time_remaining())
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details(), error.trailing_metadata())
        return answer


@asynccontextmanager
async def gateway(temporal_address: str, certificates: Path, key: str) -> AsyncIterator[Gateway]:
    async with grpc.aio.insecure_channel(temporal_address) as channel:
        passing = Gateway(channel, key)
        server = grpc.aio.server(handlers=[passing])
        of_server = [((certificates / "server.key").read_bytes(), (certificates / "server.crt").read_bytes())]
        passing.port = server.add_secure_port(f"{HOST}:0", grpc.ssl_server_credentials(of_server))
        await server.start()
        try:
            yield passing
        finally:
            await server.stop(grace=None)
