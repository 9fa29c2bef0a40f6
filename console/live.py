"""Tells open pages that what they show has changed: one look for all pages of this process, none while there are none."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from db.core.connection import INFRASTRUCTURE_FAILURES, Database

log = logging.getLogger("groupbuy.console")

ALIVE_EVERY = 15.0
"""seconds without a change after which a line is sent all the same, so that a page that is gone is noticed"""
LONGEST = 600.0
"""seconds after which a page has to come back, and to show its session again"""

Subject = TypeVar("Subject")


@dataclass(eq=False, slots=True)
class OpenPage(Generic[Subject]):
    subject: Subject
    seen: int
    """the version that it was told of"""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Watch(Generic[Subject]):
    """Looks for changes of what pages of one kind show."""

    def __init__(
        self, read_versions: Callable[[Database, Collection[Subject]], Awaitable[Mapping[Subject, int]]], every: float
    ) -> None:
        """`read_versions` returns a number of each subject, another one after a change; `every` is in seconds."""
        self._read_versions = read_versions
        self._every = every
        self._pages: set[OpenPage[Subject]] = set()
        self._task: asyncio.Task[None] | None = None

    async def changes(self, database: Database, subject: Subject, seen: int) -> AsyncIterator[str]:
        """Returns server-sent events: `changed` whenever the subject has another version than the page was told of.

        Args:
            database: where the subject is.
            subject: what the page shows.
            seen: the version that it shows.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST
        with self._open(database, OpenPage(subject, seen)) as page:
            yield ": open\n\n"
            while (left := until - loop.time()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(page.changed.wait(), min(ALIVE_EVERY, left))
                yield "data: changed\n\n" if page.changed.is_set() else ": alive\n\n"
                page.changed.clear()

    @contextmanager
    def _open(self, database: Database, page: OpenPage[Subject]) -> Iterator[OpenPage[Subject]]:
        self._pages.add(page)
        if self._task is None:
            self._task = asyncio.create_task(self._look(database))
        try:
            yield page
        finally:
            self._pages.discard(page)
            if not self._pages and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _look(self, database: Database) -> None:
        while True:
            versions: Mapping[Subject, int] = {}
            try:
                versions = await self._read_versions(database, {page.subject for page in self._pages})
            except INFRASTRUCTURE_FAILURES as error:
                log.warning("changes were not looked for: %s: %s", type(error).__name__, error)
            except Exception:
                log.exception("a defect: changes were not looked for")
            for page in self._pages:
                version = versions.get(page.subject, page.seen)
                if version != page.seen:
                    page.seen = version
                    page.changed.set()
            await asyncio.sleep(self._every)
