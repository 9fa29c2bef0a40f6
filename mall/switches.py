"""How the mall behaves: switched on its page, so that anyone can watch what the platform makes of it."""

import asyncio
from contextlib import suppress
from enum import StrEnum

from pydantic import BaseModel


class Way(StrEnum):
    """How the events of the next orders are to come."""

    HTTP = "http"
    RABBITMQ = "rabbitmq"


class Mood(StrEnum):
    NORMAL = "normal"
    DOWN = "down"
    """answers 503; over RabbitMQ, takes nothing from its queue"""
    SLOW = "slow"
    """takes an event at once, and answers later than the platform waits"""
    VETO = "veto"
    """says no when it is asked whether a member of a completed team may leave"""


class NewSwitches(BaseModel):
    way: Way | None = None
    mood: Mood | None = None


class Switches:
    """A mall that starts is a normal one, over HTTP: nothing of this is remembered."""

    def __init__(self) -> None:
        self.way = Way.HTTP
        self.mood = Mood.NORMAL
        self._changed = asyncio.Event()

    def set(self, new: NewSwitches) -> None:
        self.way = new.way or self.way
        self.mood = new.mood or self.mood
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        await self._changed.wait()

    async def linger(self, seconds: float) -> None:
        """Until then, or until somebody switches: nobody is kept waiting by what is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.changed(), seconds)
