"""What the check prints: a line for each step, and what happened in it where it fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic

import click
from pydantic import JsonValue

from cli.demo.client import JourneyError
from cli.demo.narrator import Narrator
from cli.demo.schemas import Team, Workflow


class Report(Narrator):
    """A journey's narrator that keeps the lines of a step, in case it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0
        self.failed = 0
        self._title = ""
        self._lines: list[str] = []
        self._began = monotonic()

    @contextmanager
    def part(self) -> Iterator[None]:
        """Steps that depend on each other: the first one that fails ends the part, and what follows the part goes on."""
        try:
            yield
        except JourneyError as error:
            self._fail(error.message)
        except BaseException:
            self._title = ""
            raise
        self._pass()

    async def step(self, title: str) -> None:
        self._pass()
        self._title, self._lines, self._began = title, [], monotonic()

    async def line(self, text: str) -> None:
        self._lines.append(text)

    def waiting(self, what: str, until: datetime | None = None) -> None:
        self._lines.append(f"… waiting for {what}" + (f" until {until:%H:%M:%S} UTC" if until else ""))

    async def counts(self, before: Team, after: Team, meaning: str) -> None:
        await self.line(f"{before.seats} → {after.seats}, team {after.status}: {meaning}")

    async def event_data(self, data: dict[str, JsonValue]) -> None:
        """What an event says is checked where it matters."""

    def link(self, title: str, workflow: Workflow | None) -> None:
        if workflow is not None:
            self._lines.append(f"{title}: {workflow.url or workflow.id}")

    def fail(self, title: str, message: str) -> None:
        self._title, self._lines, self._began = title, [], monotonic()
        self._fail(message)

    def _pass(self) -> None:
        if self._title:
            self.passed += 1
            self._print(click.style("ok  ", fg="green"))

    def _fail(self, message: str) -> None:
        self.failed += 1
        lines = [*self._lines, message]
        self._print(click.style("FAIL", fg="red", bold=True))
        for line in lines:
            click.echo(f"               {line}")

    def _print(self, verdict: str) -> None:
        click.echo(f"  {verdict} {monotonic() - self._began:5.1f} s  {self._title}")
        self._title, self._lines = "", []
