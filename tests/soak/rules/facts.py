"""A history and the rows at its end, looked up by what the rules ask for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from tests.soak.history import Callback, Fault, History, Operation, Outcome
from tests.soak.rows import Campaign, Event, Order, Refund, Rows, Team, Workflow

K = TypeVar("K")
V = TypeVar("V")
OK, REFUSED, UNKNOWN = Outcome.OK, Outcome.REFUSED, Outcome.UNKNOWN


@dataclass(frozen=True)
class Bounds:
    """Seconds within which something must have happened after it was due."""

    calm: float = 30.0
    """when no fault was near"""
    troubled: float = 120.0
    """when there was one"""
    terminated: float = 300.0
    """when its workflow was terminated: reconciliation does it"""
    answer: float = 18.0
    """for an answer, whatever it says"""
    near: float = 20.0
    """around what was due, in which a fault counts as near: its effects last"""


@dataclass(frozen=True)
class Facts:
    history: History
    rows: Rows
    bounds: Bounds = field(default_factory=Bounds)

    # --- operations ---

    @cached_property
    def _operations(self) -> Mapping[tuple[str, str], list[Operation]]:
        found: defaultdict[tuple[str, str], list[Operation]] = defaultdict(list)
        for operation in self.history.operations:
            found[operation.kind, operation.subject].append(operation)
        return found

    @cached_property
    def _kinds(self) -> Mapping[str, list[Operation]]:
        found: defaultdict[str, list[Operation]] = defaultdict(list)
        for operation in self.history.operations:
            found[operation.kind].append(operation)
        return found

    def of(self, kind: str, subject: str | None = None, *outcomes: Outcome) -> list[Operation]:
        """Operations of a kind, about this subject, with one of these outcomes; without them, with any."""
        found = self._kinds.get(kind, []) if subject is None else self._operations.get((kind, subject), [])
        return [operation for operation in found if not outcomes or operation.outcome in outcomes]

    def possible(self, kind: str, subject: str) -> list[Operation]:
        """Those that may have had an effect."""
        return self.of(kind, subject, OK, UNKNOWN)

    # --- rows ---

    @cached_property
    def orders(self) -> Mapping[str, Order]:
        """By out_trade_no."""
        return {order.out_trade_no: order for order in self.rows.orders}

    @cached_property
    def orders_by_id(self) -> Mapping[str, Order]:
        return {order.order_id: order for order in self.rows.orders}

    @cached_property
    def teams(self) -> Mapping[str, Team]:
        return {team.team_id: team for team in self.rows.teams}

    @cached_property
    def members(self) -> Mapping[str, list[Order]]:
        """The orders of each team."""
        return _grouped((order.team_id, order) for order in self.rows.orders)

    @cached_property
    def campaigns(self) -> Mapping[int, Campaign]:
        return {campaign.campaign_id: campaign for campaign in self.rows.campaigns}

    @cached_property
    def refunds(self) -> Mapping[str, list[Refund]]:
        """By order_id, the first attempt first."""
        return _grouped((each.order_id, each) for each in sorted(self.rows.refunds, key=lambda each: each.attempt))

    @cached_property
    def events(self) -> Mapping[str, Event]:
        return {event.event_id: event for event in self.rows.events}

    @cached_property
    def events_of(self) -> Mapping[str, list[Event]]:
        """By out_trade_no: the events that name the order, in the order of their sequences."""
        pairs = (
            (number, event)
            for event in sorted(self.rows.events, key=lambda each: each.sequence or 0)
            for number in named(event)
        )
        return _grouped(pairs)

    @cached_property
    def workflows(self) -> Mapping[str, Workflow]:
        return {workflow.workflow_id: workflow for workflow in self.rows.workflows}

    def returned(self, order: Order) -> Refund | None:
        """The refund that has returned, or will return, the order's payment."""
        return next((each for each in self.refunds.get(order.order_id, []) if each.released_at and each.kind != "unpaid"), None)

    # --- the mall ---

    @cached_property
    def received(self) -> Mapping[str, list[Callback]]:
        """What the mall took for genuine, by event id."""
        return _grouped((each.event_id, each) for each in self.history.callbacks if each.is_signed)

    # --- time ---

    @cached_property
    def terminated(self) -> frozenset[str]:
        return frozenset(operation.subject for operation in self.of("terminate", None, OK, UNKNOWN))

    def bound(self, due: float, team_id: str = "") -> float:
        """How late it may be."""
        if team_id in self.terminated:
            return self.bounds.terminated
        near = any(
            fault.began <= due + self.bounds.near and _end(fault) >= due - self.bounds.near for fault in self.history.faults
        )
        return self.bounds.troubled if near else self.bounds.calm


def _end(fault: Fault) -> float:
    return fault.whole_at or float("inf")


def named(event: Event) -> list[str]:
    """The orders that an event is about."""
    return event.data.get("out_trade_nos") or [event.data["out_trade_no"]]


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    found: defaultdict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return found


@dataclass
class Tally:
    """How often a rule was exercised, and where it was broken."""

    exercised: int = 0
    broken: list[str] = field(default_factory=list)

    def check(self, holds: object, detail: str) -> None:
        """One case of the rule; `detail` says what is wrong where it does not hold."""
        self.exercised += 1
        if not holds:
            self.broken.append(detail)
