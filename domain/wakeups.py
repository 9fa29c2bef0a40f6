"""Wake-ups: the notes that a team's rows were changed by somebody else than its workflow, which has to take them over."""

from datetime import timedelta
from enum import IntEnum


class Urgency(IntEnum):
    """What a team's workflow is told first."""

    SEATS = 0
    """seats or payments: it has to know when they are due"""
    DECIDED = 1
    """the team was decided, or owes money: a mall waits to be told"""


FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
RUSH = 40
"""teams changed directly within a second, above which their workflows are told one at a time"""
ATTEMPTS = 8
"""times that a workflow is told without taking the rows over, before a person is shown the team"""


def pause_after(attempts: int) -> timedelta:
    """Returns how long a team's workflow has to take its rows over, after so many earlier attempts to tell it."""
    return min(FIRST_PAUSE * (1 << min(attempts, 10)), LONGEST_PAUSE)
