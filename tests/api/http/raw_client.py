"""A client that sends any bytes, whole requests or not."""

import asyncio
import json
from typing import Self


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, *pieces: bytes, pause: float = 0) -> None:
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(pause)

    async def answer(self, *pieces: bytes, pause: float = 0) -> tuple[int, bytes]:
        """Sends these while it waits for the answer."""
        sending = asyncio.create_task(self.send(*pieces, pause=pause))
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return int(head.split()[1]), await self._reader.readexactly(length)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def refusal(self, *pieces: bytes, pause: float = 0) -> tuple[int, str]:
        """A problem, after which the connection is closed."""
        status, body = await self.answer(*pieces, pause=pause)
        problem = json.loads(body)
        assert problem["status"] == status
        assert await self.is_closed()
        return status, problem["code"]

    async def is_closed(self) -> bool:
        """Waits until the server has closed."""
        try:
            return await self._reader.read() == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._writer.transport.abort()
