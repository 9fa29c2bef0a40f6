"""The malls with the largest outboxes have gauges of their own."""

from datetime import UTC, datetime, timedelta

from api.runtime.metrics import MALLS, OTHERS, bounded
from db.gauges import Outbox

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_malls_beyond_the_largest_share_one_gauge() -> None:
    outboxes = [Outbox(f"s{number}", number, NOW - timedelta(seconds=number)) for number in range(1, MALLS + 4)]
    largest = bounded(outboxes)
    assert len(largest) == MALLS + 1
    assert largest[0].source == f"s{MALLS + 3}"
    assert largest[-1] == Outbox(OTHERS, 1 + 2 + 3, NOW - timedelta(seconds=3))
    assert bounded([]) == []
