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
BESIDE_BUYERS = 3
"""workflows told at a time while buyers need the engine, too: with eight, the slowest refunds in a storm took five
times as long (docs/performance.md)"""
ATTEMPTS = 8
"""times that a workflow is told without taking the rows over, before a person is shown the team"""


def pause_after(attempts: int) -> timedelta:
    """Returns how long a team's workflow has to take its rows over, after so many earlier attempts to tell it."""
    return min(FIRST_PAUSE * (1 << min(attempts, 10)), LONGEST_PAUSE)


def told_at_once(bound: int, *, are_buyers_present: bool) -> int:
    """Returns how many workflows may have been told and not have taken over yet, of the bound that is set for it."""
    return min(bound, BESIDE_BUYERS) if are_buyers_present else bound
