"""What was measured: rounds, and what several of them say together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import Played


@dataclass(frozen=True)
class Measured:
    """One round of one side."""

    played: Played
    cpu: dict[str, float]
    """CPU seconds within the interval, by process"""

    @property
    def requests(self) -> int:
        return sum(len(latencies) for latencies in self.played.latencies.values())

    @property
    def rate(self) -> float:
        return self.requests / self.played.seconds


@dataclass(frozen=True)
class Side:
    """The rounds of one side at one number of callers."""

    name: str
    rounds: Sequence[Measured]

    @property
    def rate(self) -> float:
        """Requests per second, the median of the rounds."""
        return median(measured.rate for measured in self.rounds)

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(kind for measured in self.rounds for kind in measured.played.latencies))

    def latencies(self, kind: str | None = None) -> list[float]:
        """Sorted milliseconds of one kind of request, or of all."""
        return sorted(
            value
            for measured in self.rounds
            for name, values in measured.played.latencies.items()
            if kind in {None, name}
            for value in values
        )

    @property
    def cpu(self) -> dict[str, float]:
        """Seconds by process, of all rounds together."""
        names = dict.fromkeys(name for measured in self.rounds for name in measured.cpu)
        return {name: math.fsum(measured.cpu[name] for measured in self.rounds) for name in names}

    @property
    def seconds(self) -> float:
        return math.fsum(measured.played.seconds for measured in self.rounds)

    @property
    def requests(self) -> int:
        return sum(measured.requests for measured in self.rounds)

    @property
    def plays(self) -> int:
        return sum(measured.played.plays for measured in self.rounds)

    @property
    def repeated(self) -> int:
        return sum(measured.played.repeated for measured in self.rounds)


@dataclass(frozen=True)
class Pair:
    """Two sides that took turns."""

    callers: int
    base: Side
    ours: Side

    @property
    def ratios(self) -> list[float]:
        """Ours to the base, round by round: neighbours in time share the machine's mood."""
        return [ours.rate / base.rate for base, ours in zip(self.base.rounds, self.ours.rounds, strict=True)]

    @property
    def ratio(self) -> float:
        return median(self.ratios)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1] if ordered else math.nan


def total(sides: Iterable[Side]) -> int:
    return sum(side.plays for side in sides)
