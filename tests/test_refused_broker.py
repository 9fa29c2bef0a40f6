"""A broker that refuses a connection, or drops it: whoever wanted one closes what it made, so that no finalizer has to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path

import pytest

from activities.callbacks.senders.amqp import AmqpSender
from embedded.ports import HOST, free_port
from mall.amqp_receiver import AmqpReceiver
from mall.inbox import Inbox
from mall.store import Store
from mall.switches import Switches
from tests import broker
from tests.activities.callbacks.deliveries import NOW, delivery
from tests.garbage import collected_without_a_loop


async def _worker(url: str, _: Path) -> None:
    assert (await AmqpSender(url, 5).send(delivery("own.key", kind="amqp"), NOW)).error is not None


async def _mall(url: str, folder: Path) -> None:
    switches = Switches()
    with closing(Store(folder / "mall.sqlite")) as store, pytest.raises(ConnectionError):
        await AmqpReceiver(url, "own.key", [], Inbox(store, switches, 0), switches)._receive(url)


async def _tests(url: str, _: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker, "BROKER", url)
        with pytest.raises(pytest.skip.Exception):
            await broker.queue().__aenter__()


@asynccontextmanager
async def _refuses() -> AsyncIterator[int]:
    yield free_port()


@asynccontextmanager
async def _drops() -> AsyncIterator[int]:
    async def drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(drop, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("place", [_refuses, _drops])
@pytest.mark.parametrize("client", [_worker, _mall, _tests])
async def test_no_connection_is_left_to_the_garbage_collector(
    client: Callable[[str, Path], Awaitable[None]], place: Callable[[], AbstractAsyncContextManager[int]], tmp_path: Path
) -> None:
    async with collected_without_a_loop(), place() as port:
        await client(f"amqp://guest:guest@{HOST}:{port}/", tmp_path)
