"""When a callback is attempted again, and when it is given up (docs/callbacks.md)."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.callbacks.deliveries import Delivery


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The delay doubles from `first_delay` to `max_delay`, ±20 %, until a delivery has been due for `give_up_after`."""

    first_delay: timedelta
    max_delay: timedelta
    give_up_after: timedelta

    def next_attempt(self, delivery: Delivery, now: datetime, retry_after: timedelta | None) -> datetime | None:
        """Returns when to try again after the attempt at `now` failed; None: the callback is given up.

        Args:
            delivery: as it was before the attempt.
            now: when the attempt ended.
            retry_after: what the mall asked for. Beyond the end of the schedule it still gets one attempt, at that end.
        """
        delay = min(self.first_delay * 2 ** min(delivery.attempts, 40), self.max_delay)
        following: datetime = now + delay * random.uniform(0.8, 1.2)  # noqa: S311 - it spreads load, it keeps no secret
        end = delivery.since + self.give_up_after
        if following > end:
            return None
        return min(max(following, now + (retry_after or timedelta())), end)
