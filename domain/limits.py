"""How much is too much: a mall's requests in a second, a buyer's seats without payment (design.md section 8)."""

from datetime import timedelta

OPEN_SEATS = 20
"""seats that one buyer may hold unpaid in one mall"""
REMEMBERED = timedelta(hours=1)
"""how long a seat that lapsed unpaid counts against its buyer"""


def open_seats_allowed(lapsed: int) -> int:
    """How many unpaid seats a buyer may hold when so many lapsed lately: each of those takes one away, but never the last."""
    return max(OPEN_SEATS - lapsed, 1)


def may_hold_another(unpaid: int, lapsed: int) -> bool:
    return unpaid < open_seats_allowed(lapsed)


def allowance(limit: int, mine: int, others: int) -> int:
    """What one process lets pass of a mall's limit, by what was asked for in the second before.

    While there is enough for all it is what the others leave, else a share by what was asked here. `mine` and `others` count
    what was asked, not what was let pass: else the shares would swing.
    """
    if not others:
        return limit
    return max(limit - others, limit * mine // (mine + others), 1)
