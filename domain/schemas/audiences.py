"""The public JSON of audiences, their imports, and the rules that select members."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Name, Price, Schema, Source

MAX_ORDERS = 1_000_000_000


class ImportKind(StrEnum):
    UPLOAD = "upload"
    RULE = "rule"


class ImportStatus(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class AudienceFields(Schema):
    """The fields of an audience that an operator sets."""

    name: Name


class AudienceRule(Schema):
    """Selects users by their orders: those whose seats were taken in the period, that are paid, and that are not undone."""

    min_orders: Annotated[int | None, Field(strict=True, ge=1, le=MAX_ORDERS)] = None
    """orders that a user must have at least"""
    min_amount: Price | None = None
    """sum of these orders' payments that a user must reach"""
    since: Moment
    """start of the period"""
    until: Moment
    """end of the period, which it does not include"""
    source: Source | None = None
    """counts the orders of one mall; without it, of all malls"""

    @model_validator(mode="after")
    def _has_a_minimum_and_a_period(self) -> Self:
        if self.min_orders is None and self.min_amount is None:
            raise ValueError("a rule needs min_orders, min_amount or both")
        if self.since >= self.until:
            raise ValueError("since must be before until")
        return self


class BadLine(Schema):
    """A line of an upload that names no user."""

    line: int
    reason: str


class AudienceImport(Schema):
    """One replacement of an audience's members, running or finished."""

    filling: int
    """number of the import"""
    kind: ImportKind
    rule: AudienceRule | None
    status: ImportStatus
    failure: str | None
    seen: int
    """lines read so far; of a rule, users with an order that counts"""
    accepted: int
    """lines that named a user; of a rule, users who meet it"""
    bad: int
    """lines that named none"""
    duplicates: int
    """accepted lines that named a user again"""
    member_count: int
    report: list[BadLine]
    """the first bad lines"""
    started_by: str
    started_at: Moment
    finished_at: Moment | None
    workflow: WorkflowLink | None
    """the workflow that imports by a rule; null: an upload"""


class Audience(Schema):
    """A set of users that a campaign or a discount can be restricted to."""

    audience_id: str
    name: str
    member_count: int
    created_at: Moment
    updated_at: Moment
    filling: AudienceImport | None
    """the latest import"""


class Membership(Schema):
    """Whether a user is a member of an audience."""

    member: bool
