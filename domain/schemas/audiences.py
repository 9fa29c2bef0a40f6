"""Audiences as operators see them, and the rule that may fill one."""

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
    name: Name


class AudienceRule(Schema):
    """Users by their orders: those whose seats were taken in the period, are paid, and are not undone."""

    min_orders: Annotated[int | None, Field(strict=True, ge=1, le=MAX_ORDERS)] = None
    min_amount: Price | None = None
    since: Moment
    until: Moment
    """the first moment after the period"""
    source: Source | None = None
    """one mall's orders; without it every mall's"""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.min_orders is None and self.min_amount is None:
            raise ValueError("a rule needs min_orders, min_amount or both")
        if self.since >= self.until:
            raise ValueError("since must be before until")
        return self


class BadLine(Schema):
    line: int
    reason: str


class AudienceImport(Schema):
    """One replacement of an audience's members, finished or under way."""

    filling: int
    kind: ImportKind
    rule: AudienceRule | None
    status: ImportStatus
    failure: str | None
    seen: int
    """lines read so far; of a rule, users with an order that counts"""
    accepted: int
    """lines that named a user; of a rule, users who fulfil it"""
    bad: int
    duplicates: int
    """accepted lines that named a user again"""
    member_count: int
    report: list[BadLine]
    started_by: str
    started_at: Moment
    finished_at: Moment | None
    workflow: WorkflowLink | None


class Audience(Schema):
    audience_id: str
    name: str
    member_count: int
    created_at: Moment
    updated_at: Moment
    filling: AudienceImport | None
    """the latest one"""


class Membership(Schema):
    member: bool
