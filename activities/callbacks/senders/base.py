"""The interface of senders: one for each kind of address."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from db.callbacks.deliveries import Delivery
from domain.lifecycle import MallAnswer

MAX_TEXT = 500
"""characters of an error or of a mall's note that are kept"""


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of one attempt."""

    http_status: int | None
    """None: no HTTP answer"""
    error: str | None
    """None: the mall has the event"""
    retry_after: timedelta | None = None
    answer: MallAnswer | None = None
    note: str = ""
    body: str = ""
    """the beginning of the mall's answer; shown for samples, never stored"""
    is_final: bool = False
    """a retry could not succeed"""


class Sender(Protocol):
    """Sends one delivery once, within its timeout. What a mall or a broker does wrong is a result, not an exception."""

    async def send(self, delivery: Delivery, now: datetime) -> SendResult: ...


PROPAGATOR = TraceContextTextMapPropagator()


def traceparent() -> dict[str, str]:
    """Returns the header that tells the mall of the trace that an attempt belongs to; none, where nothing is traced."""
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers)
    return headers
