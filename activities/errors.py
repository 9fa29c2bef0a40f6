"""Errors of the database as failures of activities."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from db.core.connection import INFRASTRUCTURE_FAILURES
from domain.errors import Refusal
from domain.messages.base import WorkflowFailure

SHORT = 300


@contextmanager
def database_errors() -> Iterator[None]:
    """Around the database's part of an activity.

    Raises:
        ApplicationError: of type BrokenInvariant where the database says that our code is wrong: a retry would only say so
            again. Of type DatabaseAway for what passes by; without the stack of the connection's library, which alone is
            larger than what Temporal shows of a pending activity's last failure. Of a refusal's code for a rule's no, which is
            final.
    """
    try:
        yield
    except Refusal as refusal:
        # Expected: the SDK neither counts it as a failure nor logs it, with the names of buyers in its detail.
        benign = ApplicationErrorCategory.BENIGN
        raise ApplicationError(refusal.detail, type=refusal.code, non_retryable=True, category=benign) from None
    except INFRASTRUCTURE_FAILURES as away:
        raise ApplicationError(_short(away), type=WorkflowFailure.DATABASE_AWAY) from None
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.SyntaxOrAccessError, asyncpg.DataError, LookupError) as defect:
        raise ApplicationError(_short(defect), type=WorkflowFailure.BROKEN_INVARIANT, non_retryable=True) from defect


def _short(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"[:SHORT]
