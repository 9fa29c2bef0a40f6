"""What a run says of itself: on the terminal, and as the page of the documentation."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.soak.checker import Verdict, broken, never_exercised
from tests.soak.history import History, Outcome
from tests.soak.pairs import never_reached, tags_of_teams
from tests.soak.play import Scenario
from tests.soak.rows import Rows

BEGIN, END = "<!-- the run: written by tests/soak/run.py --markdown -->", "<!-- end of the run -->"
SHOWN = 20
"""broken cases of a rule that the terminal shows"""


def summary(verdicts: Sequence[Verdict], history: History, rows: Rows) -> str:
    lines = [f"{verdict.exercised:7} {verdict.rule}" for verdict in verdicts]
    outcomes = Counter(str(operation.outcome) for operation in history.operations)
    lines.append(f"{len(history.operations)} operations {dict(outcomes)}, {len(history.faults)} faults")
    for verdict in verdicts:
        lines += [f"BROKEN: {verdict.rule}: {detail}" for detail in verdict.broken[:SHOWN]]
    lines += [f"NEVER EXERCISED: {rule}" for rule in never_exercised(verdicts)]
    lines += [f"NEVER REACHED: {pair}, in one team" for pair in never_reached(history, rows)]
    lines.append("every rule holds, and was put to the test" if is_good(verdicts, history, rows) else "this run has failed")
    return "\n".join(lines)


def is_good(verdicts: Sequence[Verdict], history: History, rows: Rows) -> bool:
    return not (broken(verdicts) or never_exercised(verdicts) or never_reached(history, rows))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def figures(scenario: Scenario, workers: int, minutes: float, history: History, rows: Rows, verdicts: Sequence[Verdict]) -> str:
    """The tables of one run, in Markdown."""
    wrong = len(broken(verdicts))
    head = (
        f"Seed {scenario.seed}, {len(history.operations)} operations by {scenario.callers} stories side by side, "
        f"{len(history.faults)} faults of {len({fault.kind for fault in history.faults})} kinds, {workers} worker(s), "
        f"{minutes:.0f} minutes: {len(rows.teams)} teams, {len(rows.orders)} orders, {len(rows.refunds)} refunds, "
        f"{len(rows.events)} events in {len(history.callbacks)} callbacks. **{wrong or 'No'} violation(s).**"
    )
    parts = [
        head,
        "### Rules",
        table(
            ["rule", "cases", "broken"],
            [(verdict.text.split("\n")[0], verdict.exercised, len(verdict.broken)) for verdict in verdicts],
        ),
        "### Faults",
        _faults(history),
        "### Answers",
        _answers(history),
        "### Rare pairs",
        "Teams in which both happened.",
        _pairs(history, rows),
    ]
    return "\n\n".join(parts)


def _faults(history: History) -> str:
    counted = Counter(fault.kind for fault in history.faults)
    longest = {
        kind: max((fault.whole_at or fault.ended) - fault.began for fault in history.faults if fault.kind == kind)
        for kind in counted
    }
    return table(
        ["fault", "times", "whole again after, at most"],
        [(kind, counted[kind], f"{longest[kind]:.1f} s") for kind in sorted(counted)],
    )


def _answers(history: History) -> str:
    counted = Counter((operation.kind, operation.outcome) for operation in history.operations)
    kinds = sorted({operation.kind for operation in history.operations})
    return table(
        ["operation", *Outcome], [(kind.replace("_", " "), *(counted[kind, outcome] for outcome in Outcome)) for kind in kinds]
    )


def _pairs(history: History, rows: Rows) -> str:
    tags = tags_of_teams(history, rows)
    names = list(tags)
    return table(["", *names], [(one, *(len(tags[one] & tags[other]) for other in names)) for one in names])


def publish(page: str, tables: str) -> str:
    """The page of the documentation with these tables in their place."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the page has no place for a run"
    assert end, "the page has no place for a run"
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"
