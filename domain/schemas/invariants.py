"""The public JSON of the invariant check."""

from domain.types import Moment, Schema


class Violation(Schema):
    invariant: int
    """its number in docs/rules.md"""
    subject: str
    detail: str

    @property
    def sentence(self) -> str:
        """All of it, for people; no part of the JSON."""
        return f"invariant {self.invariant}: {self.subject}: {self.detail}"


class InvariantCheck(Schema):
    """The violations of the invariants; empty if all hold."""

    violations: list[Violation]
    complete: bool
    """whether everything was checked in the time given"""
    opened_since: Moment | None
    """where that is false: the teams that were opened since then were checked now, and those that looked suspicious before"""
    others_since: Moment | None
    """each of the others was checked by reconciliation since then; null: not yet each of them"""
