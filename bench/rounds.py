"""What was measured: rounds, and what several of them say together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.load import Played
from bench.processes import OTHERS

DISTURBED = 0.3
"""cores that others used more beside one side of a round than beside the other"""


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

    @property
    def others(self) -> float:
        """Cores that were busy with something else."""
        return self.cpu[OTHERS] / self.played.seconds


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
    def own_cpu(self) -> float:
        """Seconds of everything that was measured for."""
        return math.fsum(seconds for name, seconds in self.cpu.items() if name != OTHERS)

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

    @property
    def cpu_ratio(self) -> float:
        """CPU of a request of the base to one of ours: the ratio on a machine that is busy with nothing else."""
        return (self.base.own_cpu / self.base.requests) / (self.ours.own_cpu / self.ours.requests)

    @property
    def disturbed(self) -> list[bool]:
        """Whether others on the machine favoured one side of a round."""
        return [abs(a.others - b.others) > DISTURBED for a, b in zip(self.base.rounds, self.ours.rounds, strict=True)]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1] if ordered else math.nan


def total(sides: Iterable[Side]) -> int:
    return sum(side.plays for side in sides)
