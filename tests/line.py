"""A TCP line between two parts, on which everything can go wrong that goes wrong on networks."""

import asyncio
import random
import ssl
from contextlib import suppress
from typing import Self

from embedded.ports import HOST, free_port

CHUNK = 65536


class Line:
    """Listens on a port of its own and passes on what comes, until it is told to fail."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: how callers are answered; what is passed on is plain."""
        self._target = (host, port)
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[frozenset[asyncio.StreamWriter]] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.delay = 0.0
        """seconds by which each chunk is late"""
        self.port = free_port()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connect, HOST, self.port, reuse_address=True, ssl=self._tls)

    async def close(self) -> None:
        """As a server that goes away: connections break, and none is taken."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self, share: float = 1.0) -> None:
        """This share of the connections breaks; new ones are taken."""
        broken = {pair for pair in self._connections if random.random() < share}  # noqa: S311 - any of them will do
        for pair in broken:
            for end in pair:
                end.transport.abort()
        self._connections -= broken
        self._flows.set()
        if share >= 1 and self._pumps:
            await asyncio.wait(self._pumps)

    async def move(self, host: str, port: int) -> None:
        """Leads to another server from now on: its connections break, as those to an address that moves."""
        self._target = (host, port)
        await self.cut()

    def freeze(self) -> None:
        """Nothing passes, and nobody is told: until `thaw`."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        if self._server is None:
            for end in (writer, far_writer):
                end.transport.abort()
            return
        pair = frozenset({writer, far_writer})
        self._connections.add(pair)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink, pair))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, pair: frozenset[asyncio.StreamWriter]
    ) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                await self._flows.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                sink.write(data)
                await sink.drain()
        sink.close()
        self._connections.discard(pair)
