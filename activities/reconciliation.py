"""Reconciliation: does what no live workflow does any more, each item by itself. What fails is shown in attention."""

from collections.abc import Collection
from datetime import date
from typing import Protocol

from temporalio import activity

import db.audiences.clean_up
import db.orders.release
import db.reconciliation.cursors
import db.reconciliation.findings
import db.reconciliation.invariants
import db.reconciliation.live_teams
import db.reconciliation.overdue
import db.reconciliation.refunds
import db.settlements
import db.teams.conclude
import db.teams.wakeups
from activities import interfaces
from activities.errors import database_errors
from activities.isolation import for_each
from db.core.connection import Database
from db.core.invariants import Horizons, TeamSlice
from db.reconciliation.invariants import CAMPAIGNS, check_campaigns, check_settlement, check_slice, next_turn
from domain.ids import order_id
from domain.lifecycle import TeamDecision
from domain.messages.orders import ReleaseOverdue
from domain.messages.reconciliation import Reconcile, Reconciled, ReconciledTeams
from domain.messages.refunds import RefundInput
from domain.messages.teams import ConcludeTeam
from domain.schemas.attention import AttentionKind
from domain.schemas.invariants import Violation

TEAMS, REFUNDS, WORKFLOWS = 100, 200, 500
"""items of one run"""
BOOKINGS = 1000
TRANSACTIONS, CALLS = 4, 20
"""items at once: those that take a connection, and those that only ask Temporal"""
WITHIN = 10.0
"""seconds for one item"""
COUNTED_WITHIN = 25.0
"""seconds for the count of all orders; a statement has 30"""


class RestartsRefund(Protocol):
    """Starts a refund unless it runs; returns how its latest run had ended, empty if there was none, None if it runs."""

    async def __call__(self, refund: RefundInput) -> str | None: ...


class LooksAtTeam(Protocol):
    """Returns how the latest run of a team's workflow ended, empty if there was none, None if it runs."""

    async def __call__(self, team_id: str) -> str | None: ...


class ReconciliationActivities(interfaces.ReconciliationActivities):
    def __init__(
        self,
        database: Database,
        restart_refund: RestartsRefund,
        how_team_ended: LooksAtTeam,
        horizons: Horizons,
    ) -> None:
        self._database = database
        self._horizons = horizons
        self._restart_refund = restart_refund
        self._how_team_ended = how_team_ended

    @activity.defn
    async def conclude_overdue_teams(self, request: Reconcile) -> ReconciledTeams:
        async def conclude(team_id: str) -> None:
            overdue = ReleaseOverdue(team_id=team_id, now=request.now)
            await db.orders.release.release_overdue(self._database, overdue, wakes_team=True)
            deadline = ConcludeTeam(team_id=team_id, decision=TeamDecision.DEADLINE, now=request.now)
            await db.teams.conclude.conclude_team(self._database, deadline, wakes_team=True)

        with database_errors():
            team_ids = await db.reconciliation.overdue.overdue_teams(self._database, request.now, TEAMS)
        teams = await for_each(team_ids, conclude, at_once=TRANSACTIONS, within=WITHIN)
        await self._record(AttentionKind.TEAM, teams.failed, teams.done, request)
        return ReconciledTeams(count=len(team_ids), failed=len(teams.failed), team_ids=list(teams.done))

    @activity.defn
    async def start_unattended_refunds(self, request: Reconcile) -> Reconciled:
        with database_errors():
            unattended = await db.reconciliation.refunds.unfinished_refunds(self._database, request.now, REFUNDS)
            unattended += await db.reconciliation.refunds.owed_refunds(self._database, request.now, REFUNDS, request.team_ids)
        refunds = await for_each(unattended, self._restart_refund, at_once=CALLS, within=WITHIN)
        found = {_order_id(refund): f"not started: {error}" for refund, error in refunds.failed.items()}
        found |= {_order_id(refund): f"{end}; started again" for refund, end in refunds.done.items() if end}
        running = [_order_id(refund) for refund, end in refunds.done.items() if not end]
        await self._record(AttentionKind.REFUND, found, running, request)
        return Reconciled(count=len(unattended), failed=len(found))

    @activity.defn
    async def find_missing_workflows(self, request: Reconcile) -> ReconciledTeams:
        with database_errors():
            live = await db.reconciliation.live_teams.next_live_teams(self._database, request.now, WORKFLOWS)
        teams = await for_each(live.team_ids, self._how_team_ended, at_once=CALLS, within=WITHIN)
        missing = {team_id: end or "Temporal knows no run" for team_id, end in teams.done.items() if end is not None}
        running = teams.done.keys() - missing.keys()
        await self._record(AttentionKind.WORKFLOW, missing, running, request)
        with database_errors():
            await db.teams.wakeups.leave_wakeups(self._database, missing.keys(), request.now)
            name = db.reconciliation.live_teams.NAME
            await db.reconciliation.cursors.move_cursor(self._database, name, live.cursor, request.now)
        return ReconciledTeams(count=len(live.team_ids), failed=len(missing), team_ids=sorted(missing))

    @activity.defn
    async def check_invariants(self, request: Reconcile) -> Reconciled:
        async def check(slice_: TeamSlice) -> dict[str, list[Violation]]:
            return await check_slice(self._database, slice_, request.now, self._horizons)

        async def check_shared(_: str) -> list[Violation]:
            return await check_campaigns(self._database)

        async def check_settlements(day: date) -> list[Violation]:
            return await check_settlement(self._database, day, request.now, self._horizons)

        with database_errors():
            turn = await next_turn(self._database, request.now, self._horizons)
        teams = await for_each(turn.slices, check, at_once=1, within=WITHIN)
        shared = await for_each([CAMPAIGNS] * turn.checks_campaigns, check_shared, at_once=1, within=COUNTED_WITHIN)
        settlements = await for_each([turn.settlement_day], check_settlements, at_once=1, within=WITHIN)
        found = {team_id: f"not checked: {error}" for slice_, error in teams.failed.items() for team_id in slice_.team_ids}
        found |= {subject: f"not checked: {error}" for subject, error in shared.failed.items()}
        for of_teams in teams.done.values():
            found |= {team_id: _text(violations) for team_id, violations in of_teams.items()}
        for violations in (*shared.done.values(), *settlements.done.values()):
            found |= {violation.subject: violation.detail for violation in violations}
        checked = {team_id for slice_ in teams.done for team_id in slice_.team_ids}
        done = turn.found_in_teams & checked | (turn.found_in_campaigns if shared.done else set())
        done |= turn.found_in_settlement if settlements.done else set()
        await self._record(AttentionKind.INVARIANT, found, done - found.keys(), request)
        with database_errors():
            name = db.reconciliation.invariants.NAME
            await db.reconciliation.cursors.move_cursor(self._database, name, turn.cursor, request.now)
        return Reconciled(count=len(checked), failed=len(found))

    @activity.defn
    async def book_unearned_discounts(self, request: Reconcile) -> Reconciled:
        async def book(team_id: str) -> None:
            await db.settlements.book_unearned_discount(self._database, team_id, request.now)

        with database_errors():
            team_ids = await db.settlements.unbooked_teams(self._database, request.now, BOOKINGS)
        # What fails is not flagged here: the check of the invariants finds what is not booked after an hour.
        teams = await for_each(team_ids, book, at_once=TRANSACTIONS, within=WITHIN)
        return Reconciled(count=len(teams.done))

    @activity.defn
    async def clean_up_audiences(self, request: Reconcile) -> None:
        with database_errors():
            await db.audiences.clean_up.clean_up_audiences(self._database, request.now)

    async def _record(self, kind: AttentionKind, found: dict[str, str], done: Collection[str], request: Reconcile) -> None:
        with database_errors():
            await db.reconciliation.findings.record_findings(self._database, kind, found, done, request.now)


def _text(violations: list[Violation]) -> str:
    first = violations[0].sentence
    return first if len(violations) == 1 else f"{len(violations)} violations, the first: {first}"


def _order_id(refund: RefundInput) -> str:
    return order_id(refund.source, refund.out_trade_no)
