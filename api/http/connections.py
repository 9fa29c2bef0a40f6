"""The connections of a process: who waits for its client, for how long, and who is closed for a new one when there are many."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge("groupbuy_connections", "Open connections")
EVICTED = Counter("groupbuy_connections_evicted_total", "Connections closed for new ones, because there were too many")

SWEEP_INTERVAL = 0.5
"""seconds; a connection may wait this much longer than its timeout"""
SLOW_AFTER = 1.0
"""seconds within which a request of an honest client has arrived"""
CLOSE_TIMEOUT = 2.0
"""seconds in which a client may read the answer after which its connection is closed"""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What clients may use: sizes in bytes, times in seconds."""

    connections: int
    header_bytes: int
    url_bytes: int
    header_timeout: float
    body_timeout: float
    keep_alive: float


class WaitQueue(OrderedDict["Connection", float]):
    """Connections that wait for the same thing, with the time since when; who has waited longest is the first."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self.timeout = timeout


class Connection(Protocol):
    queue: WaitQueue | None
    """written by the table alone"""

    def time_out(self, queue: WaitQueue) -> None:
        """Ends the connection, or lets it wait anew: it has waited in this queue for too long."""

    def abort(self) -> None:
        """Closes the connection at once."""


class ConnectionTable:
    """The connections of a process, whatever socket accepted them."""

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self.heads = WaitQueue(limits.header_timeout)
        """wait for a request's header, or for the first byte of a new connection"""
        self.bodies = WaitQueue(limits.body_timeout)
        """wait for the rest of a request's body"""
        self.unread = WaitQueue(limits.body_timeout)
        """wait until the client reads its answer"""
        self.idle = WaitQueue(limits.keep_alive)
        """wait for the next request"""
        self.closing = WaitQueue(CLOSE_TIMEOUT)
        """wait until the client closes"""
        self._connections: set[Connection] = set()
        self._sweep_is_due = False

    def admit(self, connection: Connection) -> bool:
        """Adds a new connection, if there are too many in place of one that waits; returns False when none waits."""
        if len(self._connections) >= self.limits.connections:
            victim = self._victim()
            if victim is None:
                return False
            EVICTED.inc()
            self.remove(victim)
            victim.abort()
        self._connections.add(connection)
        CONNECTIONS.inc()
        self.wait(connection, self.heads)
        self._sweep_later()
        return True

    def remove(self, connection: Connection) -> None:
        self.stop_waiting(connection)
        if connection in self._connections:
            self._connections.remove(connection)
            CONNECTIONS.dec()

    def wait(self, connection: Connection, queue: WaitQueue) -> None:
        """From now on the connection waits in this queue. Does nothing for one that was removed."""
        self.stop_waiting(connection)
        if connection in self._connections:
            queue[connection] = time.monotonic()
            connection.queue = queue

    def stop_waiting(self, connection: Connection) -> None:
        if connection.queue is not None:
            del connection.queue[connection]
            connection.queue = None

    def _victim(self) -> Connection | None:
        """Returns who is closed for a new connection: who is closing, then who is slow, then who is idle; the longest first."""
        unfinished = [next(iter(queue.items())) for queue in (self.heads, self.bodies, self.unread) if queue]
        slowest, since = min(unfinished, key=lambda item: item[1], default=(None, 0.0))
        # A request that has just begun is worth more than an idle connection.
        is_slow = since + SLOW_AFTER < time.monotonic()
        first, second = (slowest, next(iter(self.idle), None)) if is_slow else (next(iter(self.idle), None), slowest)
        return next(iter(self.closing), first or second)

    def _sweep_later(self) -> None:
        if not self._sweep_is_due:
            self._sweep_is_due = True
            asyncio.get_running_loop().call_later(SWEEP_INTERVAL, self._sweep)

    def _sweep(self) -> None:
        now = time.monotonic()
        for queue in (self.heads, self.bodies, self.unread, self.idle, self.closing):
            while queue and next(iter(queue.values())) + queue.timeout <= now:
                connection = next(iter(queue))
                self.stop_waiting(connection)
                connection.time_out(queue)
        self._sweep_is_due = False
        if self._connections:
            self._sweep_later()
