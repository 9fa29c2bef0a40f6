"""Looks up the hosts of malls in threads, bounded by mall: a name server that hangs holds up its own mall's callbacks alone."""

import asyncio
import socket
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

THREADS = 256
LOOK_UPS_OF_A_MALL = 4
"""hosts of one mall that are looked up side by side"""

MALL: ContextVar[str] = ContextVar("MALL")
"""source of the mall that is called: a connector tells its resolver only the host"""

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
Name = tuple[str, str, socket.AddressFamily]
"""mall, host and family: one look-up serves every port"""


@dataclass(slots=True)
class LookUp:
    task: asyncio.Task[list[AddressInfo]]
    thread: Future[list[AddressInfo]] | None = None
    """None: it waits for a slot of its mall"""
    waiting: int = 0


class MallResolver(AbstractResolver):
    """Joins attempts that ask for the same host of a mall at the same time; remembers no answer."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "names")
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(LOOK_UPS_OF_A_MALL))
        self._look_ups: dict[Name, LookUp] = {}

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        name = (MALL.get(), host, family)
        look_up = self._look_ups.get(name) or self._begin(name)
        look_up.waiting += 1
        try:
            found = await asyncio.shield(look_up.task)
        finally:
            look_up.waiting -= 1
            if not look_up.waiting:
                self._abandon(name, look_up)
        return [
            ResolveResult(
                hostname=host,
                host=str(endpoint[0]),
                port=port,
                family=address_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for address_family, _, protocol, _, endpoint in found
        ]

    async def close(self) -> None:
        for look_up in self._look_ups.values():
            look_up.task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, name: Name) -> LookUp:
        look_up = LookUp(asyncio.create_task(self._look_up(name)))
        self._look_ups[name] = look_up
        look_up.task.add_done_callback(lambda task: self._end(name, task))
        return look_up

    async def _look_up(self, name: Name) -> list[AddressInfo]:
        mall, host, family = name
        async with self._slots[mall]:
            ask = partial(socket.getaddrinfo, host, None, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            self._look_ups[name].thread = thread = self._threads.submit(ask)
            return await asyncio.wrap_future(thread)

    def _abandon(self, name: Name, look_up: LookUp) -> None:
        """Ends a look-up that waits. One that runs cannot be stopped: it keeps its slot, and serves whoever asks meanwhile."""
        if look_up.thread is None or look_up.thread.cancel():
            look_up.task.cancel()
            self._end(name, look_up.task)

    def _end(self, name: Name, task: asyncio.Task[list[AddressInfo]]) -> None:
        # At once, not when the task has noticed: whoever asks in between must not be cancelled with it.
        if name in self._look_ups and self._look_ups[name].task is task:
            del self._look_ups[name]
        if task.done() and not task.cancelled():
            task.exception()  # the failure of a look-up that nobody waits for any more
