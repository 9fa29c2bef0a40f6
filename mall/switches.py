"""The switches of the mall's page, which make it an unreliable mall or move its callbacks to RabbitMQ."""

import asyncio
from contextlib import suppress
from enum import StrEnum

from pydantic import BaseModel


class Transport(StrEnum):
    """How the callbacks of new orders are to come."""

    HTTP = "http"
    RABBITMQ = "rabbitmq"


class Mood(StrEnum):
    """How the mall answers callbacks."""

    NORMAL = "normal"
    DOWN = "down"
    """answers 503; over RabbitMQ, consumes nothing from its queue"""
    SLOW = "slow"
    """stores an event at once, and answers later than the platform waits"""
    VETO = "veto"
    """rejects the refund of a member of a completed team"""


class NewSwitches(BaseModel):
    """What to switch to; None leaves it as it is."""

    way: Transport | None = None
    mood: Mood | None = None


class Switches:
    """Not stored: a mall that starts is a normal one, over HTTP."""

    def __init__(self) -> None:
        self.way = Transport.HTTP
        self.mood = Mood.NORMAL
        self._changed = asyncio.Event()

    def set(self, new: NewSwitches) -> None:
        self.way = new.way or self.way
        self.mood = new.mood or self.mood
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - a wait, not a deadline
        """Returns when a switch is set, or after `timeout` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout)
