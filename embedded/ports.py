"""TCP ports on loopback: whether a server could have one, and a free one for it."""

import secrets
import socket

from embedded.errors import StackError

HOST = "127.0.0.1"


def refusal(port: int) -> str | None:
    """Why no server can listen on this port now, or None when one can."""
    with socket.socket() as probe:
        # As the servers do: connections that linger in TIME_WAIT are no obstacle, a listener still is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return None


def free_port() -> int:
    """A port to listen on that stays ours while the server restarts.

    The kernel's own choice (port 0) is from the range of outgoing connections: while the server is down, another
    connection can take it, and a client that keeps reconnecting can even meet itself there. Below it, nobody does.
    """
    while True:
        port = 15_000 + secrets.randbelow(15_000)
        if refusal(port) is None:
            return port


class Ports:
    """Gives each part its port before anything is started."""

    def __init__(self) -> None:
        self._given: dict[int, str] = {}

    def give(self, part: str, wanted: int, flag: str) -> int:
        """`wanted`, or a free port for 0. `flag` is how the user chooses another one."""
        port = wanted
        while not port:
            candidate = free_port()
            port = candidate if candidate not in self._given else 0
        if port in self._given:
            raise StackError(f"port {port} is asked for by {self._given[port]} and {part}: choose another with {flag}")
        if reason := refusal(port):
            raise StackError(f"port {port} for {part}: {reason}; choose another with {flag} (0 takes a free one)")
        self._given[port] = part
        return port
