"""Tells open pages that a team has changed: one query a second for all pages of this process, none while there are none."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.teams.queries import count_team_changes

log = logging.getLogger("groupbuy.console")

LOOK_EVERY = 1.0
ALIVE_EVERY = 15.0
"""seconds without a change after which a line is sent all the same, so that a page that is gone is noticed"""
LONGEST = 600.0
"""seconds after which a page has to come back, and to show its session again"""


@dataclass(eq=False, slots=True)
class Page:
    team_id: str
    seen: int
    """the count of changes that it was told of"""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class TeamWatch:
    def __init__(self) -> None:
        self._pages: set[Page] = set()
        self._task: asyncio.Task[None] | None = None

    async def changes(self, database: Database, team_id: str, seen: int) -> AsyncIterator[str]:
        """Returns server-sent events: `changed` whenever something has happened to the team or to one of its orders.

        Args:
            database: where the team is.
            team_id: the team.
            seen: how many changes of the team the page shows.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST
        with self._open(database, Page(team_id, seen)) as page:
            yield ": open\n\n"
            while (left := until - loop.time()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(page.changed.wait(), min(ALIVE_EVERY, left))
                yield "data: changed\n\n" if page.changed.is_set() else ": alive\n\n"
                page.changed.clear()

    @contextmanager
    def _open(self, database: Database, page: Page) -> Iterator[Page]:
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
            try:
                counts = await count_team_changes(database, {page.team_id for page in self._pages})
            except INFRASTRUCTURE_FAILURES as error:
                log.warning("changes of teams were not looked for: %s: %s", type(error).__name__, error)
                counts = {}
            for page in self._pages:
                count = counts.get(page.team_id, page.seen)
                if count != page.seen:
                    page.seen = count
                    page.changed.set()
            await asyncio.sleep(LOOK_EVERY)
