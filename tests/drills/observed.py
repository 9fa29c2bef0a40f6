"""A crowd of buyers that notes when it was answered, and when not."""

import time
from itertools import pairwise
from typing import Any

from tests.api.caller import Answer
from tests.outages.crowd import Crowd


class ObservedCrowd(Crowd):
    """As of tests/outages: any answer but a success or 503 `temporarily_unavailable`, and any contradiction, ends the drill."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self._began = time.monotonic()
        self._answered_at: list[float] = []
        self._seconds: list[float] = []
        self._refused_at: list[float] = []

    def begin(self) -> None:
        """What came before is not reported, apart from orders and teams."""
        self._began = time.monotonic()
        for noted in (self._answered_at, self._seconds, self._refused_at):
            noted.clear()
        self.unavailable.clear()
        self.slowest = 0.0

    def now(self) -> float:
        return time.monotonic() - self._began

    def answered(self, answer: Answer) -> None:
        self._answered_at.append(self.now())
        self._seconds.append(answer.seconds)

    def refused(self) -> None:
        self._refused_at.append(self.now())

    def report(self, over: float | None = None) -> str:
        """Says how long what lasted; `over`: when all ran again."""
        at = [0.0, *self._answered_at]
        pause, since = max((later - earlier, earlier) for earlier, later in pairwise(at))
        times = sorted(self._seconds)
        lines = [
            f"{len(times)} calls answered, 99 % within {times[int(len(times) * 0.99)]:.1f} s, the slowest {self.slowest:.1f} s",
            f"{sum(self.unavailable.values())} to be repeated: "
            + (", ".join(f"{count} {kind}" for kind, count in self.unavailable.items()) or "none")
            + (f", between {min(self._refused_at):.1f} and {max(self._refused_at):.1f} s" if self._refused_at else ""),
            f"the longest time without an answer to anybody: {pause:.1f} s, from {since:.1f} s on"
            + ("" if over is None else f"; all ran again at {over:.1f} s"),
        ]
        return "\n".join(f"   {line}" for line in lines)

    def outcome(self) -> str:
        """What `finish` has found."""
        told = "each completed, and was told of once"
        return f"   {len(self.teams)} teams: {told}\n   {len(self.orders)} orders answered, none lost; no invariant broken"
