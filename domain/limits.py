"""Limits against abuse: a buyer's unpaid seats, and one process's share of a mall's request limit."""

from datetime import timedelta

MAX_UNPAID_SEATS = 20
"""unpaid seats that one buyer may hold in one mall"""
LAPSE_MEMORY = timedelta(hours=1)
"""how long a seat that lapsed unpaid counts against its buyer"""


def unpaid_seats_allowed(lapsed: int) -> int:
    """Returns how many unpaid seats a buyer may hold: one less for each recent lapse, but always at least one."""
    return max(MAX_UNPAID_SEATS - lapsed, 1)


def may_lock_another(unpaid: int, lapsed: int) -> bool:
    return unpaid < unpaid_seats_allowed(lapsed)


def rate_share(limit: int, own: int, others: int) -> int:
    """Returns how many of a mall's requests one process admits in a second.

    While the limit covers all requests, it is what the other processes leave; beyond that, a share by this process's part of
    the requests.

    Args:
        limit: the mall's limit, for all processes together.
        own: requests that arrived at this process in the second before. Refused ones count, or else the shares would swing.
        others: requests that arrived at the other processes in that second.
    """
    if not others:
        return limit
    return max(limit - others, limit * own // (own + others), 1)
