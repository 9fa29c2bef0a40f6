"""What is remembered of requests without a valid key: the keys that are unknown, and how many came from an address."""

import time
from collections import OrderedDict
from ipaddress import IPv6Address

from api.runtime.cache import MAX_ENTRIES, TTL, Cache
from domain.limits import Allowance
from domain.networks import Address, address_of

SUBSCRIBER_BITS = 64
"""the lower bits of an IPv6 address, which its subscriber chooses"""


class UnknownKeys:
    """Keys that the database does not know, for as long as no setting changes.

    Apart from the cache, which a flood of them would empty.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._expiries: OrderedDict[str, float] = OrderedDict()
        self._invalidations = 0
        """those of the cache when the first of these keys was looked up"""

    def __contains__(self, key: str) -> bool:
        is_current = self._cache.notices.is_listening and self._invalidations == self._cache.invalidations
        return is_current and self._expiries.get(key, 0.0) > time.monotonic()

    def add(self, key: str, invalidations: int) -> None:
        """Adds a key that was unknown after this many invalidations of the cache; after more it may be known."""
        if invalidations != self._cache.invalidations:
            return
        if invalidations != self._invalidations:
            self._expiries.clear()
            self._invalidations = invalidations
        if len(self._expiries) >= MAX_ENTRIES:
            self._expiries.popitem(last=False)
        self._expiries[key] = time.monotonic() + TTL


class KeyFailures:
    """Limits the requests without a valid key per second, by the address that they come from, in this process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._allowances: OrderedDict[Address | int | None, Allowance] = OrderedDict()
        """of addresses, the last one that failed at the end"""

    def are_too_many(self, address: str | None) -> bool:
        return self._allowance(_subscriber(address)).left < 1

    def count(self, address: str | None) -> bool:
        """Counts a failure; returns whether it is within the limit."""
        subscriber = _subscriber(address)
        allowance = self._allowance(subscriber)
        after = allowance.take()
        self._allowances[subscriber] = after or allowance
        self._allowances.move_to_end(subscriber)
        if len(self._allowances) > MAX_ENTRIES:
            self._allowances.popitem(last=False)
        return after is not None

    def _allowance(self, subscriber: Address | int | None) -> Allowance:
        now = time.monotonic()
        known = self._allowances.get(subscriber)
        return Allowance(self._limit, now) if known is None else known.refilled(now, self._limit)


def _subscriber(address: str | None) -> Address | int | None:
    found = address_of(address)
    return int(found) >> SUBSCRIBER_BITS if isinstance(found, IPv6Address) else found
