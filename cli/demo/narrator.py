"""What the journeys print: numbered steps, lines, and the links at the end."""

import asyncio
import sys
from datetime import UTC, datetime

import click
from pydantic import JsonValue

from cli.demo.schemas import Team, Workflow

# Pauses for somebody who reads along.
STEP_PAUSE = 0.6
LINE_PAUSE = 0.25


class Narrator:
    def __init__(self) -> None:
        self._links: dict[str, str] = {}
        self._steps = 0

    async def step(self, title: str) -> None:
        self._steps += 1
        click.echo()
        click.secho(f"{self._steps:<2} {title}", bold=True)
        await _pause(STEP_PAUSE)

    async def line(self, text: str) -> None:
        click.echo(f"   {text}")
        await _pause(LINE_PAUSE)

    def waiting(self, what: str, until: datetime | None = None) -> None:
        left = (until - datetime.now(UTC)).total_seconds() if until else 0
        click.echo(f"   … waiting {f'{left:.1f} s ' if left > 0 else ''}for {what}")

    async def counts(self, before: Team, after: Team, meaning: str) -> None:
        """Prints the seats and how the counters of the team have changed."""
        locked = _change("lock_count", before.lock_count, after.lock_count)
        complete = _change("complete_count", before.complete_count, after.complete_count)
        await self.line(f"{after.seats}  {locked}, {complete}, team {after.status}: {meaning}")

    async def event_data(self, data: dict[str, JsonValue]) -> None:
        """Prints the fields of an event, the order first, without the team, which the step has named."""
        names = sorted((name for name in data if name != "team_id"), key=lambda name: name != "out_trade_no")
        await self.line(f"  {'; '.join(f'{name} {as_text(data[name])}' for name in names)}")

    def link(self, title: str, workflow: Workflow | None) -> None:
        """Keeps a link for the end. Without a Temporal UI, it is the workflow's id."""
        if workflow is not None:
            self._links[title] = workflow.url or workflow.id

    async def show_links(self, more: dict[str, str]) -> None:
        await self.step("Look for yourself")
        links = self._links | more
        width = max(map(len, links)) + 2
        for title, address in links.items():
            await self.line(f"{title:<{width}}{address}")


def as_text(value: JsonValue) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _change(name: str, before: int, after: int) -> str:
    return f"{name} {before} → {after}" if before != after else f"{name} still {after}"


async def _pause(seconds: float) -> None:
    if sys.stdout.isatty():
        await asyncio.sleep(seconds)
