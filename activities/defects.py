"""Telling a defect from trouble that passes by."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from temporalio.exceptions import ApplicationError

from domain.messages import WorkflowFailure


@contextmanager
def defects_are_final() -> Iterator[None]:
    """Fails an activity for good where the database says that our code is wrong; a retry would only say so again.

    Raises:
        ApplicationError: of type BrokenInvariant, not retryable.
    """
    try:
        yield
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.SyntaxOrAccessError, asyncpg.DataError, LookupError) as defect:
        raise ApplicationError(str(defect), type=WorkflowFailure.BROKEN_INVARIANT, non_retryable=True) from defect
