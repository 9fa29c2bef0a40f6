"""Limits against abuse: a buyer's unpaid seats, requests per second, and one process's share of them."""

from datetime import timedelta
from typing import NamedTuple

MAX_UNPAID_SEATS = 20
"""unpaid seats that one buyer may hold in one mall"""
LAPSE_MEMORY = timedelta(hours=1)
"""how long a seat that lapsed unpaid counts against its buyer"""


def unpaid_seats_allowed(lapsed: int) -> int:
    """Returns how many unpaid seats a buyer may hold: one less for each recent lapse, but always at least one."""
    return max(MAX_UNPAID_SEATS - lapsed, 1)


def may_lock_another(unpaid: int, lapsed: int) -> bool:
    return unpaid < unpaid_seats_allowed(lapsed)


class Allowance(NamedTuple):
    """What is left of a limit per second. It comes back evenly, and is never more than one second's worth."""

    left: float
    at: float
    """seconds on a clock that never goes back"""

    def refilled(self, now: float, per_second: int) -> "Allowance":
        return Allowance(min(self.left + (now - self.at) * per_second, per_second), now)

    def take(self) -> "Allowance | None":
        """Returns what is left after one more; None where there is not enough for one."""
        return Allowance(self.left - 1, self.at) if self.left >= 1 else None


def rate_share(limit: int, own: int, others: int) -> int:
    """Returns how many requests per second one process admits of a limit that all processes share.

    While the limit covers all requests, it is what the other processes leave; beyond that, a share by this process's part of
    the requests.

    Args:
        limit: for all processes together.
        own: requests that arrived at this process in the second before. Refused ones count, or else the shares would swing.
        others: requests that arrived at the other processes in that second.
    """
    if not others:
        return limit
    return max(limit - others, limit * own // (own + others), 1)
