"""TCP ports on loopback: whether one is available, and which one is free."""

import secrets
import socket

from embedded.errors import StackError

HOST = "127.0.0.1"
CHOICE = range(15_000, 30_000)
"""what `free_port` chooses from"""


def bind_error(port: int) -> str | None:
    """Returns why no server can listen on this port now, None if one can."""
    with socket.socket() as probe:
        # As the servers bind it: connections in TIME_WAIT do not prevent that, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return None


def free_port() -> int:
    """Returns a port that is not taken by others while the server that listens on it restarts.

    The kernel's own choice (port 0) is in the range of outgoing connections: while the server is down, another
    connection can take it, and a client that keeps reconnecting can even connect to itself. Ports below it are safe.
    """
    while True:
        port = secrets.choice(CHOICE)
        if bind_error(port) is None:
            return port


class Ports:
    """Reserves a port for each part before any process starts."""

    def __init__(self) -> None:
        self._reserved: dict[int, str] = {}

    def reserve(self, part: str, port: int, flag: str) -> int:
        """Returns `port`, or a free one for 0. `flag` is the option that chooses another one.

        Raises:
            StackError: the port is in use, or reserved for another part.
        """
        while not port:
            candidate = free_port()
            port = candidate if candidate not in self._reserved else 0
        if port in self._reserved:
            raise StackError(f"port {port} is asked for by {self._reserved[port]} and {part}: choose another with {flag}")
        if reason := bind_error(port):
            raise StackError(f"port {port} for {part}: {reason}; choose another with {flag} (0 takes a free one)")
        self._reserved[port] = part
        return port
