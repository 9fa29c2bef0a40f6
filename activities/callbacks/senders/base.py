"""What a callback is sent with: one interface for every way to a mall."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from db.callbacks.deliveries import Delivery
from domain.lifecycle import MallAnswer

NOTE = 500


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one try."""

    status: int | None
    """of HTTP, when there was an answer"""
    error: str | None
    """None: the mall has it"""
    retry_after: timedelta | None = None
    answer: MallAnswer | None = None
    note: str = ""
    body: str = ""
    """the beginning of what was answered; for samples, it is kept nowhere else"""
    is_final: bool = False
    """trying again would change nothing"""


class Sender(Protocol):
    """Sends one delivery once. It returns within its time limit, and raises nothing for what a mall or a broker does."""

    async def send(self, delivery: Delivery, now: datetime) -> Reply: ...
