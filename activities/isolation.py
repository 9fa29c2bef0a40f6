"""Work on many items, each by itself: one that fails, or does not end, holds up no other."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.errors import database_errors

log = logging.getLogger("groupbuy.reconciliation")

DETAIL = 300
"""characters of an error that are kept"""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Outcomes(Generic[ItemT, ResultT]):
    """What came of each item."""

    def __init__(self) -> None:
        self.done: dict[ItemT, ResultT] = {}
        self.failed: dict[ItemT, str] = {}
        """with the error"""


async def for_each(
    items: Iterable[ItemT], act: Callable[[ItemT], Awaitable[ResultT]], *, at_once: int, within: float
) -> Outcomes[ItemT, ResultT]:
    """Acts on each item, some at once and each for a limited time in seconds; heartbeats after each."""
    outcomes, slots = Outcomes[ItemT, ResultT](), asyncio.Semaphore(at_once)

    async def act_on(item: ItemT) -> None:
        async with slots:
            try:
                async with asyncio.timeout(within):
                    with database_errors():
                        outcomes.done[item] = await act(item)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the other items are not touched by it
                log.warning("reconciliation of %.100s failed: %s", item, exc)
                outcomes.failed[item] = _text(exc)
        activity.heartbeat(len(outcomes.done), len(outcomes.failed))

    await asyncio.gather(*(act_on(item) for item in items))
    return outcomes


def _text(exc: Exception) -> str:
    kind = exc.type if isinstance(exc, ApplicationError) else type(exc).__name__
    return f"{kind}: {exc.message if isinstance(exc, ApplicationError) else exc}"[:DETAIL]
