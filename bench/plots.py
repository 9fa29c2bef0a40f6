"""Plots what the bench has written as JSON. `python -m bench.plots LOAD.json OPEN.json --into docs/pictures`."""

import json
from collections.abc import Iterator
from pathlib import Path

import click

from bench.api_client import Json
from bench.plot import Chart, Series, svg


def charts(numbers: Json) -> Iterator[tuple[str, Chart]]:
    """Yields the charts of a part of the bench, each with the name of its file."""
    match numbers["part"]:
        case "load":
            yield "latency-by-load", latency_by_load(numbers)
        case "open":
            yield "lock-by-open-teams", lock_by_open_teams(numbers)
            yield "memory-by-open-teams", memory_by_open_teams(numbers)


def latency_by_load(numbers: Json) -> Chart:
    rounds = numbers["measured"]
    series = [
        Series(f"{kind}, {percent}", [(each["per_second"], each["answers"][kind]["ms"][percent]) for each in rounds])
        for kind in ("open", "join", "pay")
        for percent in ("p50", "p99")
    ]
    title = "Latency by load: teams of three that arrive at a rate"
    return Chart(title, "teams per second (six requests each)", "ms", series, conditions(numbers), is_log=True)


def lock_by_open_teams(numbers: Json) -> Chart:
    steps = numbers["measured"]
    series = [
        Series(f"lock {percent}, ms", [(each["open_teams"], each["lock_ms"][percent]) for each in steps])
        for percent in ("p50", "p95")
    ]
    names = ("temporal", "worker", "api", "postgres")
    series += [
        Series(f"CPU {name}, ms", [(each["open_teams"], each["cpu_ms_per_lock"][name]) for each in steps]) for name in names
    ]
    title = f"A lock by open teams, {numbers['callers']} callers"
    return Chart(title, "open teams, each with its workflow", "ms", series, conditions(numbers), is_log=True)


def memory_by_open_teams(numbers: Json) -> Chart:
    steps = numbers["measured"]
    series = [
        Series(name, [(each["open_teams"], each["memory_bytes"][name] / 2**20) for each in steps])
        for name in ("temporal", "postgres", "worker", "api")
    ]
    return Chart("Memory by open teams", "open teams, each with its workflow", "MiB", series, conditions(numbers))


def conditions(numbers: Json) -> str:
    machine = numbers["machine"].split("; Python")[0]
    return f"{machine}; admission {numbers['admission'].partition(' ')[0]}"


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/pictures"), show_default=True)
def main(files: tuple[Path, ...], into: Path) -> None:
    """Write the charts of these files, which `python -m bench --only load --json FILE`, or open, has written."""
    into.mkdir(parents=True, exist_ok=True)
    for file in files:
        runs = json.loads(file.read_text())
        for numbers in runs if isinstance(runs, list) else [runs]:
            for name, chart in charts(numbers):
                suffix = "" if len(runs) == 1 or isinstance(runs, dict) else f"-{numbers['admission'].partition(' ')[0]}"
                (into / f"{name}{suffix}.svg").write_text(svg(chart))
                click.echo(f"{name}{suffix}.svg")


if __name__ == "__main__":
    main()
