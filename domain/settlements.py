"""Who bears a discount: the mall or the platform; and how much of it a team did not earn, because its members left."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from domain.types import CENT


@dataclass(frozen=True, slots=True)
class Borne:
    """An amount by who bears it."""

    merchant: Decimal = Decimal("0.00")
    platform: Decimal = Decimal("0.00")

    def __add__(self, other: "Borne") -> "Borne":
        return Borne(self.merchant + other.merchant, self.platform + other.platform)

    def __sub__(self, other: "Borne") -> "Borne":
        return Borne(self.merchant - other.merchant, self.platform - other.platform)


def split_deduction(deduction: Decimal, merchant_share: int) -> Borne:
    """Splits an order's deduction: the mall's part is rounded half-up to 0.01, the platform bears the rest.

    Args:
        deduction: what the buyer does not pay.
        merchant_share: 0 to 100, as the team pinned it when it was opened.
    """
    merchant = (deduction * merchant_share / 100).quantize(CENT, ROUND_HALF_UP)
    return Borne(merchant, deduction - merchant)


def members_needed(target_count: int, min_count: int | None, completed_with: int) -> int:
    """Returns how many members earn the team price: as many as complete a team at its deadline.

    A team that an operator completed with fewer needs those that it had.
    """
    return min(target_count if min_count is None else min_count, completed_with)


def unearned_discount(stayed: Sequence[Borne], needed: int) -> Borne:
    """Returns what the members who stayed keep although too few of them did: their discounts, as each is borne."""
    return total_borne(stayed) if len(stayed) < needed else Borne()


def total_borne(parts: Iterable[Borne]) -> Borne:
    return sum(parts, Borne())
