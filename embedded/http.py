"""Health checks of local HTTP servers."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit


async def responds(url: str) -> bool:
    """Returns whether a GET is answered with 200. Uses a bare socket, so that the supervisor needs no HTTP library.

    Raises:
        OSError: nothing listens there.
    """
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
