"""What the mall does with an event, over HTTP or RabbitMQ: it acts once, and repeats its first answer."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from mall.events import Event
from mall.store import Attempt, Signature, Store
from mall.switches import Mood, Switches, Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Acceptance:
    """How an event is to be answered that has been stored."""

    duplicate: bool
    vetoed: bool
    delayed: bool
    """the answer is to wait for `Inbox.delay`"""


class Inbox:
    def __init__(self, store: Store, switches: Switches, slow_seconds: float) -> None:
        self._store = store
        self._switches = switches
        self._slow_seconds = slow_seconds

    @property
    def is_down(self) -> bool:
        return self._switches.mood is Mood.DOWN

    def accept(self, event_id: str, event: Event, way: Transport, signature: Signature) -> Acceptance:
        """Stores the event before it is answered, so that no event is lost that was answered with yes."""
        delayed = self._switches.mood is Mood.SLOW
        vetoed = way is Transport.HTTP and event.asks_for_consent and self._is_vetoed(event_id)
        answer = ("409 no" if vetoed else "200") if way is Transport.HTTP else "acknowledged"
        if delayed:
            answer += f", after {self._slow_seconds:g} s"
        attempt = _attempt(way, signature, answer, event_id, event)
        times_received = self._store.record(event_id, event, attempt, changes_orders=not vetoed)
        log.info("%s #%d %s, received %d×", event.type, event.sequence, event_id, times_received)
        return Acceptance(times_received > 1, vetoed, delayed)

    def reject(
        self, way: Transport, signature: Signature, answer: str, event_id: str | None = None, event: Event | None = None
    ) -> None:
        """Only logs the attempt, for the page."""
        self._store.log_attempt(_attempt(way, signature, answer, event_id, event))

    async def delay(self) -> None:
        """Waits as long as a slow mall does; a change of the switches ends the wait."""
        await self._switches.wait_for_change(self._slow_seconds)

    def _is_vetoed(self, event_id: str) -> bool:
        """A repeated question gets its first answer, whatever the mood is now."""
        if self._switches.mood is Mood.VETO and not self._store.has_event(event_id):
            self._store.add_veto(event_id)
        return self._store.is_vetoed(event_id)


def _attempt(way: Transport, signature: Signature, answer: str, event_id: str | None, event: Event | None) -> Attempt:
    return Attempt(
        arrived_at=datetime.now(UTC),
        way=way,
        event_id=event_id,
        type=event and event.type,
        sequence=event and event.sequence,
        team_id=event and event.data.team_id,
        orders=event.data.orders if event else [],
        signature=signature,
        answer=answer,
    )
