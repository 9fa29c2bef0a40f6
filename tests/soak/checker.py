"""Judges a run: a pure function of what happened, and of what is true at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.soak.history import History
from tests.soak.rows import Rows
from tests.soak.rules import callbacks, counters, liveness, money, refunds, refusals, seats, workflows
from tests.soak.rules.facts import Bounds, Facts, Tally

Rule = Callable[[Facts, Tally], None]
RULES: tuple[Rule, ...] = (
    *seats.RULES,
    *counters.RULES,
    *refusals.RULES,
    *money.RULES,
    *refunds.RULES,
    *callbacks.RULES,
    *workflows.RULES,
    *liveness.RULES,
)


@dataclass(frozen=True)
class Verdict:
    rule: str
    text: str
    exercised: int
    broken: tuple[str, ...]


def check(history: History, rows: Rows, bounds: Bounds | None = None) -> tuple[Verdict, ...]:
    """What became of every rule."""
    facts = Facts(history, rows, bounds or Bounds())
    return tuple(_verdict(rule, facts) for rule in RULES)


def _verdict(rule: Rule, facts: Facts) -> Verdict:
    tally = Tally()
    try:
        rule(facts, tally)
    except LookupError as missing:
        tally.broken.append(f"there is no row of {missing}, which was told or answered")
    return Verdict(rule.__name__.replace("_", " "), rule.__doc__ or "", tally.exercised, tuple(tally.broken))


def broken(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"{verdict.rule}: {detail}" for verdict in verdicts for detail in verdict.broken]


def never_exercised(verdicts: Sequence[Verdict]) -> list[str]:
    """A rule that nothing has put to the test says nothing."""
    return [verdict.rule for verdict in verdicts if not verdict.exercised]
