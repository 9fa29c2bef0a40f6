"""The public JSON of what came of an operator's act."""

from domain.schemas.callbacks import OpsCallbackAttempts
from domain.schemas.refunds import Refund
from domain.schemas.teams import Team
from domain.types import Schema


class ActOutcome(Schema):
    """What came of an act, as the audit has it."""

    changed: bool
    detail: str
    """what was done or, where nothing was changed, why"""


class TeamOutcome(ActOutcome):
    team: Team
    """as it is now"""


class RefundOutcome(ActOutcome):
    refund: Refund
    """as it is now"""


class CallbackOutcome(ActOutcome):
    callback: OpsCallbackAttempts
    """as it is now"""
