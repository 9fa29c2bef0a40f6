"""What this process remembers of the settings, as long as it is told of every change."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Any, TypeVar

from db.core.listen import CHANGED, Listener

Value = TypeVar("Value")

KEPT_AT_MOST = 10_000
KEPT_FOR = 10.0
"""seconds: a change that was never told (a pooler in between, a trigger that is off) is seen after them all the same"""


class Cache:
    """Values by key, each with the subjects that it is about: `campaign/100123`, or `campaign` for any of them."""

    def __init__(self, database_url: str, hear: dict[str, Callable[[str], None]] | None = None) -> None:
        """`hear` has what notices on other channels go to."""
        self.notices = Listener(database_url, {CHANGED: self.forget, **(hear or {})}, self.forget_all)
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._about: defaultdict[str, set[Hashable]] = defaultdict(set)
        self._forgotten = 0

    async def recall(
        self, key: Hashable, read: Callable[[], Awaitable[Value]], about: Callable[[Value], Iterable[str]]
    ) -> Value:
        """What is remembered under the key, else what is read now; None is read again each time."""
        if self.notices.are_told and (kept := self._kept.get(key)) is not None and kept[0] > time.monotonic():
            value: Value = kept[1]
            return value
        forgotten = self._forgotten
        value = await read()
        # Something was changed meanwhile: what was read may be older.
        if value is not None and forgotten == self._forgotten:
            self._keep(key, value, about(value))
        return value

    def forget(self, subject: str) -> None:
        """The subject was changed."""
        self._forgotten += 1
        for name in (subject, subject.partition("/")[0]):
            for key in self._about.pop(name, ()):
                self._kept.pop(key, None)

    def forget_all(self) -> None:
        """Everything is read anew."""
        self._forgotten += 1
        self._kept.clear()
        self._about.clear()

    def _keep(self, key: Hashable, value: object, about: Iterable[str]) -> None:
        if len(self._kept) >= KEPT_AT_MOST:
            self.forget_all()
        self._kept[key] = (time.monotonic() + KEPT_FOR, value)
        for subject in about:
            self._about[subject].add(key)
