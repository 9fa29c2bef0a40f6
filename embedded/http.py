"""Asks a local server whether it is up."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit


async def answers(url: str) -> bool:
    """Whether a GET is answered with 200. By hand: one line out, one line in, no client library in the supervisor."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        status = await reader.readline()
        return status.split(b" ")[1:2] == [b"200"]
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
