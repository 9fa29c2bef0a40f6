"""The numbers, for people and as JSON."""

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.callbacks import CallbackResult
from bench.outcome import Outcome
from bench.processes import OTHERS
from bench.refunds import CALLERS, RefundResult
from bench.rounds import Pair, Side, percentile

EVENTS_AT_MOST = 52
UPDATES_RATIO, UPDATES_RATIO_LEAST = 0.75, 0.6
BARE_RATIOS = {"quotes": 0.8, "market": 0.45}


def machine() -> str:
    names = ("temporalio", "fastapi", "uvicorn", "asyncpg", "pydantic")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {len(os.sched_getaffinity(0))} cores, {_cpu_model()}, {memory:.0f} GiB, "
        f"load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}; {packages}"
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def updates(pair: Pair) -> str:
    callers = f"=== {pair.callers} concurrent callers: updates ==="
    return _pair(pair, callers, f"{UPDATES_RATIO}, at least {UPDATES_RATIO_LEAST}")


def bare_route(pairs: Sequence[Pair], of: str = "") -> str:
    titles = [
        f"=== {pair.callers} concurrent callers: {pair.ours.name} and a bare route in the same server{of} ===" for pair in pairs
    ]
    return "\n".join(_pair(pair, title, f"{BARE_RATIOS[pair.ours.name]}") for pair, title in zip(pairs, titles, strict=True))


def _pair(pair: Pair, title: str, goal: str) -> str:
    ratio = f"b/a = {pair.ratio:.2f}  (goal {goal}); by CPU per request: {pair.cpu_ratio:.2f}"
    return "\n".join([title, "", _rounds(pair), "", _latencies(pair), "", _cpu(pair), "", ratio, ""])


def refunds(kinds: Sequence[RefundResult], floor: Side) -> str:
    """Refunds per second, until the mall has acknowledged the last one, beside the floor's updates."""
    rows = [
        [
            each.kind,
            *(str(each.orders), f"{each.seconds:.1f}", f"{each.rate:.0f}", f"{each.rate / floor.rate:.2f}"),
            f"{sum(seconds for name, seconds in each.cpu.items() if name != OTHERS) / each.orders * 1000:.0f}",
            f"{each.cpu['temporal'] / each.orders * 1000:.0f} / {each.cpu['worker-1'] / each.orders * 1000:.0f}",
        ]
        for each in kinds
    ]
    head = ["kind", "orders", "seconds", "per second", "to the floor", "CPU ms each", "of it Temporal / worker"]
    return "\n".join(
        [f"=== {CALLERS} concurrent callers: refunds, until the mall has acknowledged ===", "", table(head, rows), ""]
    )


def callbacks(kinds: Sequence[CallbackResult]) -> str:
    """Callbacks per second beside the bare loop, and the delay from a team's last payment to its callback."""
    rows = [
        [
            {"http": "HTTP", "amqp": "RabbitMQ"}[each.kind],
            *(
                str(each.callbacks),
                f"{each.rate:.0f}",
                f"{each.bare_per_second:.0f}",
                f"{each.rate / each.bare_per_second:.2f}",
            ),
            *(f"{each.teams_per_second:.1f}", str(len(each.delays))),
            *(f"{percentile(each.delays, percent):.0f}" for percent in (50, 99)),
        ]
        for each in kinds
    ]
    throughput = ["callbacks", "sent", "per second", "bare loop", "to it"]
    head = [*throughput, "half load, teams/s", "teams", "last payment to callback, ms: p50", "p99"]
    return "\n".join(["=== callbacks: throughput of a backlog, and delay at half load ===", "", table(head, rows), ""])


def end(outcome: Outcome, drained_within: float) -> str:
    """`drained_within`: the most seconds from the end of a round until its last callback was delivered."""
    events = outcome.history_events
    most = max(events, default=0)
    flag = "" if most <= EVENTS_AT_MOST else f"  <-- more than {EVENTS_AT_MOST}"
    missing = "" if outcome.played == outcome.completed else "  <-- not all"
    histories = f"median {median(events or [0]):g}, most {most}, of {len(events)} teams after their callback"
    lines = [
        "=== at the end ===",
        "",
        f"history events per team  {histories} (goal {EVENTS_AT_MOST}){flag}",
        f"teams                    {outcome.played} played, {outcome.completed} completed{missing}",
        f"callbacks                {outcome.delivered} delivered; the last ones up to {drained_within:.1f} s after a round",
        f"invariants               {len(outcome.violations)} violations",
        *(f"  {violation}" for violation in outcome.violations[:20]),
    ]
    return "\n".join(lines)


def _rounds(pair: Pair) -> str:
    base, ours = pair.base, pair.ours
    rows = [
        [
            f"round {number}",
            *(f"{a.rate:.0f}", f"{b.rate:.0f}", f"{ratio:.2f}", f"{a.others:.2f} / {b.others:.2f}"),
            "disturbed" if disturbed else "",
        ]
        for number, (a, b, ratio, disturbed) in enumerate(
            zip(base.rounds, ours.rounds, pair.ratios, pair.disturbed, strict=True), start=1
        )
    ]
    rows.append(["median", f"{base.rate:.0f}", f"{ours.rate:.0f}", f"{pair.ratio:.2f}", "", ""])
    return table(["per second", f"a: {base.name}", f"b: {ours.name}", "b/a", "cores used by others a / b", ""], rows)


def _latencies(pair: Pair) -> str:
    rows = []
    for side in (pair.base, pair.ours):
        kinds: list[str | None] = [*side.kinds]
        for kind in kinds if len(kinds) == 1 else [*kinds, None]:
            values = side.latencies(kind)
            row = [f"{side.name}: {kind or 'all'}", str(len(values))]
            rows.append([*row, *(f"{percentile(values, percent):.1f}" for percent in (50, 99))])
    return table(["latency, ms", "requests", "p50", "p99"], rows)


def _cpu(pair: Pair) -> str:
    base, ours = pair.base.cpu, pair.ours.cpu
    names = [name for name in ours if name != OTHERS]
    rows = [[name, *_cpu_cells(pair.base, base[name]), *_cpu_cells(pair.ours, ours[name])] for name in names]
    rows.append(["all of these", *_cpu_cells(pair.base, pair.base.own_cpu), *_cpu_cells(pair.ours, pair.ours.own_cpu)])
    heads = [f"{side}: {unit}" for side in ("a", "b") for unit in ("CPU s", "cores", "ms/request")]
    return table(["CPU", *heads], rows)


def _cpu_cells(side: Side, seconds: float) -> list[str]:
    return [f"{seconds:.1f}", f"{seconds / side.seconds:.2f}", f"{seconds / max(side.requests, 1) * 1000:.3f}"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligns the first column to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in lines
    )


def as_json(
    pairs: Sequence[Pair], refunds: Sequence[RefundResult], callbacks: Sequence[CallbackResult], outcome: Outcome
) -> dict[str, Any]:
    return {
        "machine": machine(),
        "pairs": [
            {
                "callers": pair.callers,
                "ratio": pair.ratio,
                "ratios": pair.ratios,
                "cpu_ratio": pair.cpu_ratio,
                "disturbed": pair.disturbed,
                "sides": [_side_as_json(side) for side in (pair.base, pair.ours)],
            }
            for pair in pairs
        ],
        "refunds": [vars(each) | {"per_second": each.rate} for each in refunds],
        "callbacks": [vars(each) | {"per_second": each.rate} for each in callbacks],
        "outcome": vars(outcome),
    }


def _side_as_json(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "per_second": side.rate,
        "rounds": [
            {"seconds": each.result.seconds, "requests": each.requests, "per_second": each.rate, "cpu_seconds": each.cpu}
            for each in side.rounds
        ],
        "latency_ms": {
            kind or "all": {f"p{percent}": percentile(side.latencies(kind), percent) for percent in (50, 95, 99)}
            for kind in [*side.kinds, None]
        },
        "repeated": side.repeated,
    }
