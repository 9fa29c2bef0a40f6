"""Limits how often an address may fail to sign in."""

import time
from collections import OrderedDict

from domain.limits import Allowance

FAILURES = 10
PERIOD = 300.0
"""seconds in which an address may fail so often"""
MAX_ADDRESSES = 10_000


class SignInAttempts:
    """The failures of this process, by the address that they came from."""

    def __init__(self) -> None:
        self._allowances: OrderedDict[str | None, Allowance] = OrderedDict()

    def are_left(self, address: str | None) -> bool:
        return self._allowance(address).left >= 1

    def note_failure(self, address: str | None) -> None:
        allowance = self._allowance(address)
        self._allowances[address] = allowance.take() or allowance
        self._allowances.move_to_end(address)
        if len(self._allowances) > MAX_ADDRESSES:
            self._allowances.popitem(last=False)

    def _allowance(self, address: str | None) -> Allowance:
        now = time.monotonic() / PERIOD  # an allowance counts by one unit of time, here a period
        known = self._allowances.get(address)
        return Allowance(FAILURES, now) if known is None else known.refilled(now, FAILURES)
