"""The activities as workflows call them: names, inputs and answers.

Workflows import this page alone, so that no database or HTTP library comes with them. The classes that do the work inherit
from these and keep the names.
"""

from abc import ABC, abstractmethod

from temporalio import activity

from domain.messages.acts import Outcome
from domain.messages.audiences import AudienceImportInput, ClearedMembers, FailImport, ImportState
from domain.messages.callbacks import (
    Deliver,
    Delivered,
    RedeliverNext,
    RedeliveryState,
    ReviveCallbacks,
    RevivedCallbacks,
    Sample,
    SampleReply,
)
from domain.messages.campaigns import BeginShutdown, ClosedTeams, CloseTeams, ReadShutdown, ShutdownState
from domain.messages.exports import DeleteExports, ExportInput, ExportState, FailExport
from domain.messages.orders import LockSeat, ReleaseOverdue, SeatAnswer, SettledPayment, SettlePayment
from domain.messages.reconciliation import Reconcile, Reconciled, ReconciledTeams
from domain.messages.refunds import (
    ChangeRefund,
    DeclineAct,
    OpenRefund,
    RefundByOperator,
    RefundInput,
    RefundState,
    StartedRefunds,
    StartTeamRefunds,
)
from domain.messages.retention import RemovedTeams, RemoveOldTeams
from domain.messages.statistics import CountDays, CountedDays
from domain.messages.teams import ActedTeam, ConcludedTeam, ConcludeTeam, ExtendTeam, TakeOver, TeamAnswer, TeamRows


class OrderActivities(ABC):
    """Seats and payments, one transaction each."""

    @activity.defn
    @abstractmethod
    async def lock_seat(self, request: LockSeat) -> SeatAnswer:
        """Holds a seat, or says which rule refuses it."""

    @activity.defn
    @abstractmethod
    async def settle_payment(self, payment: SettlePayment) -> SettledPayment:
        """Books a payment and, with the last one, completes the team."""

    @activity.defn
    @abstractmethod
    async def release_overdue(self, request: ReleaseOverdue) -> TeamAnswer:
        """Cancels the orders whose payment window and grace are over."""


class TeamActivities(ABC):
    """Teams, one transaction each."""

    @activity.defn
    @abstractmethod
    async def take_over(self, request: TakeOver) -> TeamRows:
        """Reads the rows of a team, with what its workflow has to do."""

    @activity.defn
    @abstractmethod
    async def conclude_team(self, request: ConcludeTeam) -> ConcludedTeam:
        """Completes or fails a forming team."""

    @activity.defn
    @abstractmethod
    async def extend_team(self, request: ExtendTeam) -> ActedTeam:
        """Gives a forming team more time."""


class RefundActivities(ABC):
    """One transaction for each step of a refund."""

    @activity.defn
    @abstractmethod
    async def open_refund(self, request: OpenRefund) -> RefundState:
        """Decides how an order is undone, and undoes what needs no consent."""

    @activity.defn
    @abstractmethod
    async def answer_refund(self, change: ChangeRefund) -> RefundState:
        """Records an operator's answer in the mall's place."""

    @activity.defn
    @abstractmethod
    async def release_refund(self, change: ChangeRefund) -> RefundState:
        """Releases the seat after a yes."""

    @activity.defn
    @abstractmethod
    async def reject_refund(self, change: ChangeRefund) -> RefundState:
        """Makes the order paid again after a no."""

    @activity.defn
    @abstractmethod
    async def finish_refund(self, change: ChangeRefund) -> RefundState:
        """Records that the mall knows."""

    @activity.defn
    @abstractmethod
    async def flag_refund(self, change: ChangeRefund) -> RefundState:
        """Shows that the mall does not answer."""

    @activity.defn
    @abstractmethod
    async def resume_refund(self, change: ChangeRefund) -> RefundState:
        """Makes the refund's dead callbacks due again."""

    @activity.defn
    @abstractmethod
    async def decline_refund_act(self, request: DeclineAct) -> Outcome:
        """Records an operator's act that changes nothing, and why."""


class RefundStartActivities(ABC):
    """Starts of refund workflows."""

    @activity.defn
    @abstractmethod
    async def start_refund(self, refund: RefundInput) -> None:
        """Starts one refund."""

    @activity.defn
    @abstractmethod
    async def start_team_refunds(self, request: StartTeamRefunds) -> StartedRefunds:
        """Starts a refund for every paid order of a failed team, in batches."""

    @activity.defn
    @abstractmethod
    async def start_refund_by_operator(self, request: RefundByOperator) -> Outcome:
        """Starts a refund for an operator, or says why there is none to start."""


class CallbackActivities(ABC):
    """Deliveries to malls."""

    @activity.defn
    @abstractmethod
    async def deliver(self, request: Deliver) -> Delivered:
        """Delivers what is due of some events, and asks to be retried until each is delivered or dead."""

    @activity.defn
    @abstractmethod
    async def deliver_at_once(self, request: Deliver) -> bool:
        """Attempts some events once, unless many others are attempted so; returns whether all are delivered."""

    @activity.defn
    @abstractmethod
    async def deliver_overdue(self, request: Reconcile) -> Reconciled:
        """Attempts events that no workflow delivers, once, each mall's by themselves."""

    @activity.defn
    @abstractmethod
    async def revive_callbacks(self, request: ReviveCallbacks) -> RevivedCallbacks:
        """Makes the dead callbacks of a team due again."""

    @activity.defn
    @abstractmethod
    async def send_sample(self, sample: Sample) -> SampleReply:
        """Sends a sample, once."""


class RedeliveryActivities(ABC):
    """Redelivery of a range of events."""

    @activity.defn
    @abstractmethod
    async def redeliver_next(self, request: RedeliverNext) -> RedeliveryState:
        """Sends the next events, a slice of them."""


class AudienceActivities(ABC):
    """Imports of audience members."""

    @activity.defn
    @abstractmethod
    async def import_members(self, request: AudienceImportInput) -> ImportState:
        """Imports the users whom an audience's rule selects, in batches."""

    @activity.defn
    @abstractmethod
    async def fail_import(self, request: FailImport) -> None:
        """Fails an import; the former members stay."""

    @activity.defn
    @abstractmethod
    async def clear_replaced_members(self, request: AudienceImportInput) -> ClearedMembers:
        """Deletes members of imports that are not in force, in batches."""


class CampaignActivities(ABC):
    """The shutdown of a campaign."""

    @activity.defn
    @abstractmethod
    async def begin_shutdown(self, request: BeginShutdown) -> None:
        """Ends the campaign, and records its forming teams."""

    @activity.defn
    @abstractmethod
    async def close_teams(self, request: CloseTeams) -> ClosedTeams:
        """Closes forming teams, in batches."""

    @activity.defn
    @abstractmethod
    async def measure_shutdown(self, request: ReadShutdown) -> ShutdownState:
        """Counts what is done; finishes the shutdown when that is all."""


class ReconciliationActivities(ABC):
    """What no live workflow does any more, some items in each run. What fails is shown in attention, and tried again later."""

    @activity.defn
    @abstractmethod
    async def conclude_overdue_teams(self, request: Reconcile) -> ReconciledTeams:
        """Releases overdue seats, and concludes teams whose deadline is over."""

    @activity.defn
    @abstractmethod
    async def start_unattended_refunds(self, request: Reconcile) -> Reconciled:
        """Starts refunds that are owed, or unfinished without a workflow."""

    @activity.defn
    @abstractmethod
    async def find_missing_workflows(self, request: Reconcile) -> ReconciledTeams:
        """Asks Temporal for the workflows of live teams, and returns the teams whose workflow is not running."""

    @activity.defn
    @abstractmethod
    async def check_invariants(self, request: Reconcile) -> Reconciled:
        """Checks the invariants of the next teams, and of those in which something was wrong before."""

    @activity.defn
    @abstractmethod
    async def book_unearned_discounts(self, request: Reconcile) -> Reconciled:
        """Books what teams did not earn whose members left, and whose refund window is over."""

    @activity.defn
    @abstractmethod
    async def clean_up_audiences(self, request: Reconcile) -> None:
        """Ends abandoned imports, and deletes a slice of replaced members."""


class ExportActivities(ABC):
    """Lists as files."""

    @activity.defn
    @abstractmethod
    async def write_export(self, request: ExportInput) -> ExportState:
        """Writes the rows of a list, in batches."""

    @activity.defn
    @abstractmethod
    async def fail_export(self, request: FailExport) -> None:
        """Fails an export, and deletes what there is of its file."""

    @activity.defn
    @abstractmethod
    async def delete_exports(self, request: DeleteExports) -> None:
        """Deletes files that are kept no longer."""


class StatisticsActivities(ABC):
    """The statistics of days."""

    @activity.defn
    @abstractmethod
    async def count_days(self, request: CountDays) -> CountedDays:
        """Counts a few of the days that may have changed."""


class RetentionActivities(ABC):
    """What is kept no longer."""

    @activity.defn
    @abstractmethod
    async def remove_old_teams(self, request: RemoveOldTeams) -> RemovedTeams:
        """Removes old teams with all their rows, in batches."""
