"""Measured rounds, and the medians and ratios of several of them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import RoundResult
from bench.processes import OTHERS

DISTURBED = 0.3
"""difference in cores used by others, between the two sides of a round, from which the round counts as disturbed"""


@dataclass(frozen=True)
class Measured:
    """One round of one side."""

    result: RoundResult
    cpu: dict[str, float]
    """CPU seconds within the interval, by process"""

    @property
    def requests(self) -> int:
        return sum(len(latencies) for latencies in self.result.latencies.values())

    @property
    def rate(self) -> float:
        return self.requests / self.result.seconds

    @property
    def others(self) -> float:
        """Cores used by processes that are not measured."""
        return self.cpu[OTHERS] / self.result.seconds


@dataclass(frozen=True)
class Side:
    """The rounds of one side at one number of callers."""

    name: str
    rounds: Sequence[Measured]

    @property
    def rate(self) -> float:
        """Requests per second: the median of the rounds."""
        return median(measured.rate for measured in self.rounds)

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(kind for measured in self.rounds for kind in measured.result.latencies))

    def latencies(self, kind: str | None = None) -> list[float]:
        """Returns sorted milliseconds of one kind of request, or of all."""
        return sorted(
            value
            for measured in self.rounds
            for name, values in measured.result.latencies.items()
            if kind in {None, name}
            for value in values
        )

    @property
    def cpu(self) -> dict[str, float]:
        """CPU seconds by process, of all rounds together."""
        names = dict.fromkeys(name for measured in self.rounds for name in measured.cpu)
        return {name: math.fsum(measured.cpu[name] for measured in self.rounds) for name in names}

    @property
    def own_cpu(self) -> float:
        """CPU seconds of all measured processes."""
        return math.fsum(seconds for name, seconds in self.cpu.items() if name != OTHERS)

    @property
    def seconds(self) -> float:
        return math.fsum(measured.result.seconds for measured in self.rounds)

    @property
    def requests(self) -> int:
        return sum(measured.requests for measured in self.rounds)

    @property
    def plays(self) -> int:
        return sum(measured.result.plays for measured in self.rounds)

    @property
    def repeated(self) -> int:
        return sum(measured.result.repeated for measured in self.rounds)


@dataclass(frozen=True)
class Pair:
    """Two sides that were measured in turns."""

    callers: int
    base: Side
    ours: Side

    @property
    def ratios(self) -> list[float]:
        """Ours to the base, round by round: what disturbs the machine affects neighbouring rounds alike."""
        return [ours.rate / base.rate for base, ours in zip(self.base.rounds, self.ours.rounds, strict=True)]

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def cpu_ratio(self) -> float:
        """CPU per request of the base to that of ours: the ratio to expect on a machine with no other load."""
        return (self.base.own_cpu / self.base.requests) / (self.ours.own_cpu / self.ours.requests)

    @property
    def disturbed(self) -> list[bool]:
        """Whether other processes slowed down one side of a round more than the other."""
        return [abs(a.others - b.others) > DISTURBED for a, b in zip(self.base.rounds, self.ours.rounds, strict=True)]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Returns the value at the nearest rank, NaN for no values."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1] if ordered else math.nan


def total(sides: Iterable[Side]) -> int:
    return sum(side.plays for side in sides)
