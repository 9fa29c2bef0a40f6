"""`make soak`: one run of the market, its verdict, and its table for the documentation.

python -m tests.soak.run --operations 10000 --faults 200 --seed 7 --markdown docs/reliability.md
python -m tests.soak.run --check FOLDER        # judges the files that a run has left there once more
"""

import asyncio
import secrets
import signal
import sys
import time
from pathlib import Path

import click

from tests.api.caller import http_session
from tests.soak.broker import find_broker
from tests.soak.checker import Verdict, broken, check
from tests.soak.history import History
from tests.soak.platform import running_platform
from tests.soak.play import Run, Scenario
from tests.soak.report import figures, is_good, publish, summary
from tests.soak.rows import Rows
from tests.soak.trouble import FAULTS

HISTORY, ROWS = "history.jsonl", "rows.json"


async def play(scenario: Scenario, workers: int) -> tuple[History, Rows]:
    async with http_session() as http, running_platform(http, workers=workers, server=find_broker()) as platform:
        return await Run(platform, scenario, click.echo).play()


@click.command()
@click.option("--operations", type=click.IntRange(min=100), default=2000, show_default=True, help="how many at least")
@click.option("--faults", type=click.IntRange(min=0), default=40, show_default=True, help="spread over the operations")
@click.option("--kind", "kinds", type=click.Choice(sorted(FAULTS)), multiple=True, help="of the faults; all, if none is named")
@click.option("--seed", type=int, default=None, help="chooses stories and faults; another one each time, if none is named")
@click.option("--callers", type=click.IntRange(min=1), default=16, show_default=True, help="stories side by side")
@click.option("--workers", type=click.IntRange(1, 2), default=2, show_default=True, help="worker processes")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="a folder for history and rows; kept anyway if a rule is broken",
)
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="a page that the tables are written into")
@click.option("--check", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="judges an earlier run")
def main(
    operations: int,
    faults: int,
    kinds: tuple[str, ...],
    seed: int | None,
    callers: int,
    workers: int,
    keep: Path | None,
    markdown: Path | None,
    folder: Path | None,
) -> None:
    """Buyers, operators and a mall at random, while parts are killed and paused, lines fail and commits stall."""
    if folder is not None:
        history, rows = History.read((folder / HISTORY).read_text().splitlines()), Rows.read((folder / ROWS).read_text())
        sys.exit(conclude(check(history, rows), history, rows))
    # Whoever stops a run in the background finds nothing left of it, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}, {'with' if find_broker() else 'without'} RabbitMQ")
    scenario = Scenario(
        seed=seed,
        operations=operations,
        faults=faults,
        kinds=kinds or tuple(FAULTS),
        callers=callers,
        tempo=2,
        slow_stories=True,
        settle_within=420,
    )
    began = time.monotonic()
    history, rows = asyncio.run(play(scenario, workers))
    minutes = (time.monotonic() - began) / 60
    verdicts = check(history, rows)
    if broken(verdicts) or keep:
        keep = keep or Path(f"soak-{seed}")
        keep.mkdir(parents=True, exist_ok=True)
        history.write(keep / HISTORY)
        rows.write(keep / ROWS)
        click.echo(f"history and rows are in {keep}")
    if markdown is not None:
        tables = figures(scenario, workers, minutes, history, rows, verdicts)
        markdown.write_text(publish(markdown.read_text(), tables))
    sys.exit(conclude(verdicts, history, rows))


def conclude(verdicts: tuple[Verdict, ...], history: History, rows: Rows) -> int:
    click.echo(summary(verdicts, history, rows))
    return 0 if is_good(verdicts, history, rows) else 1


if __name__ == "__main__":
    main()
