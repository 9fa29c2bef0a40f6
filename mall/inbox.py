"""What the mall does with an event, whichever way it came: once, and the same answer every time."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from mall.events import Event
from mall.store import Arrival, Signature, Store
from mall.switches import Mood, Switches, Way

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrived:
    """A try that is being answered."""

    way: Way
    signature: Signature
    event_id: str | None = None
    event: Event | None = None


@dataclass(frozen=True)
class Taken:
    duplicate: bool
    vetoed: bool
    late: bool
    """the answer is to be kept back"""


class Inbox:
    def __init__(self, store: Store, switches: Switches, slow_seconds: float) -> None:
        self._store = store
        self._switches = switches
        self._slow_seconds = slow_seconds

    @property
    def is_down(self) -> bool:
        return self._switches.mood is Mood.DOWN

    def take(self, event_id: str, event: Event, way: Way, signature: Signature) -> Taken:
        """Keeps the event before it is answered: what was answered with yes is never lost."""
        late = self._switches.mood is Mood.SLOW
        vetoed = way is Way.HTTP and event.is_question and self._is_vetoed(event_id)
        answer = _answer(way, vetoed, late * self._slow_seconds)
        arrival = _arrival(Arrived(way, signature, event_id, event), answer)
        times_received = self._store.record(event_id, event, arrival, heeded=not vetoed)
        log.info("%s #%d %s, received %d×", event.type, event.sequence, event_id, times_received)
        return Taken(times_received > 1, vetoed, late)

    def turn_away(self, arrived: Arrived, answer: str) -> None:
        """Nothing is kept of it but that it came, for whoever watches the page."""
        self._store.log_arrival(_arrival(arrived, answer))

    async def linger(self) -> None:
        await self._switches.linger(self._slow_seconds)

    def _is_vetoed(self, event_id: str) -> bool:
        """A question that comes again gets the answer that it got, whatever the mood is now."""
        if self._switches.mood is Mood.VETO and not self._store.knows(event_id):
            self._store.veto(event_id)
        return self._store.is_vetoed(event_id)


def _arrival(arrived: Arrived, answer: str) -> Arrival:
    said = arrived.event
    return Arrival(
        arrived_at=datetime.now(UTC),
        way=arrived.way,
        event_id=arrived.event_id,
        type=said and said.type,
        sequence=said and said.sequence,
        team_id=said and said.data.team_id,
        orders=said.data.orders if said else [],
        signature=arrived.signature,
        answer=answer,
    )


def _answer(way: Way, vetoed: bool, late_by: float) -> str:
    what = ("409 no" if vetoed else "200") if way is Way.HTTP else "acknowledged"
    return f"{what}, after {late_by:g} s" if late_by else what
