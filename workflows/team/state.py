"""What a team's workflow knows of its rows: pure, and the payload of continue-as-new.

The rows are never trusted to be as this view has them. Every answer of a transaction carries the team's version and corrects
the view; where an answer shows that something happened which this workflow did not cause, the rows have to be read again.
"""

from datetime import datetime
from operator import itemgetter
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.base import WorkflowMessage
from domain.messages.teams import RowsChanged, SeatRow, TeamAnswer, TeamFacts
from domain.types import Moment
from workflows.markdown import quote


class Seat(WorkflowMessage):
    """One order as the latest answer about it had it."""

    user_id: str
    status: OrderStatus
    live: bool
    """it holds a seat; others are kept so that a late answer does not bring them back"""
    keep_until: Moment | None
    version: int
    """the team's version of that answer"""


class Due(NamedTuple):
    """The next moment at which something has to be done, and what."""

    moment: datetime
    reason: str


class TeamState(BaseModel):
    status: TeamStatus = TeamStatus.FORMING
    deadline: Moment | None = None
    """None until the first seat is held"""
    refund_until: Moment | None = None
    seats: dict[str, Seat] = {}
    version: int = 0
    """the highest that an answer had"""
    read_version: int = 0
    """the version of the latest read of all rows"""
    unseen_versions: set[int] = set()
    """below `version`, and of no answer yet: of a step under way, or of a change that this workflow has not heard of"""
    must_read_rows: bool = False
    hint: RowsChanged | None = None
    """what the latest `rows_changed` says of the changes that have to be read"""
    direct_locks: int = 0
    direct_payments: int = 0
    """that were admitted beside this workflow, and taken over"""
    notes: list[str] = []

    # --- what is asked of it ---

    @property
    def has_seat(self) -> bool:
        """Whether a seat was ever held: the team has a row."""
        return self.deadline is not None

    @property
    def is_forming(self) -> bool:
        return self.status is TeamStatus.FORMING

    @property
    def live_seats(self) -> dict[str, Seat]:
        return {number: seat for number, seat in self.seats.items() if seat.live}

    @property
    def paid_count(self) -> int:
        return sum(seat.live and seat.status is OrderStatus.PAID for seat in self.seats.values())

    @property
    def summary(self) -> str:
        """The end of the team: the members of a failed one are being refunded, whose count says nothing."""
        return str(self.status) if self.status is TeamStatus.FAILED else f"{self.status}, {self.paid_count} paid"

    def overdue(self, now: datetime) -> list[str]:
        """The unpaid orders whose window and grace are over."""
        return [number for number, keep_until in self._unpaid() if keep_until <= now]

    def is_decidable(self, now: datetime) -> bool:
        """Whether the deadline is over and no unpaid seat may still be paid for."""
        return self.deadline is not None and now >= self.deadline and not self._unpaid()

    def next_due(self, now: datetime) -> Due:
        """The earliest of the unpaid seats' ends and the deadline; `now` where neither is ahead."""
        dues: list[Due] = []
        if unpaid := self._unpaid():
            number, keep_until = min(unpaid, key=itemgetter(1, 0))
            dues.append(Due(keep_until, f"payment of {quote(number)}"))
        if self.deadline is not None and now < self.deadline:
            dues.append(Due(self.deadline, "deadline of the team"))
        return min(dues, default=Due(now, "now"))

    def is_window_over(self, now: datetime) -> bool:
        return self.refund_until is None or now >= self.refund_until

    def _unpaid(self) -> list[tuple[str, datetime]]:
        return [
            (number, seat.keep_until)
            for number, seat in self.seats.items()
            if seat.live and seat.status is OrderStatus.LOCKED and seat.keep_until is not None
        ]

    # --- what corrects it ---

    def apply(self, answer: TeamAnswer, *, is_last: bool = True) -> None:
        """Takes over the answer of one transaction, whatever the order in which answers arrive.

        Where something happened that this workflow did not cause, the rows have to be read: another status, a version that no
        answer had, or one that is lower than before, which rows restored from a backup have.

        Args:
            answer: what the transaction says.
            is_last: no other transaction of this workflow is under way, whose answer may explain the version.
        """
        is_restored = is_last and answer.team.version < self.version
        if answer.repeated or is_restored or (answer.team.status is not self.status and not answer.decides_team):
            self.must_read_rows = True
        self.unseen_versions.update(range(self.version + 1, answer.team.version))
        self.unseen_versions.discard(answer.team.version)
        self._apply_team(answer)
        for row in answer.seats:
            self._apply_seat(row, answer.team.version)
        if self.unseen_versions and is_last:
            self.must_read_rows = True

    def replace(self, rows: TeamAnswer, known_before: int) -> bool:
        """Takes over all rows, unless an answer that came during the read is newer: then it returns False.

        Args:
            rows: what was read.
            known_before: the view's version when the read began. Rows below it were restored from a backup, and hold.
        """
        if known_before <= rows.team.version < self.version:
            return False
        self.version = self.read_version = rows.team.version
        self.unseen_versions = set()
        self.seats = {}
        self._apply_team(rows)
        for row in rows.seats:
            self._apply_seat(row, rows.team.version)
        return True

    def _apply_team(self, answer: TeamAnswer) -> None:
        team = answer.team
        if team.version >= self.version:
            self.version = team.version
            self.status, self.deadline, self.refund_until = team.status, team.deadline, team.refund_until

    def _apply_seat(self, row: SeatRow, version: int) -> None:
        known = self.seats.get(row.out_trade_no)
        if version < max(self.read_version, known.version if known else 0):
            return
        if row.status is None:
            self.seats.pop(row.out_trade_no, None)
            return
        self.seats[row.out_trade_no] = Seat(
            user_id=row.user_id or (known.user_id if known else ""),
            status=row.status,
            live=row.live,
            keep_until=row.keep_until or (known.keep_until if known else None),
            version=version,
        )


class TeamInput(TeamFacts):
    """What a team's workflow is started with."""

    local_activities: bool = True
    has_row: bool = False
    """the team was opened already: its rows are read before anything else"""
    state: Annotated[TeamState | None, Field(description="set by continue-as-new")] = None
