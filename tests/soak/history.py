"""What happened in a run, as those saw it who took part: the callers, the mall, and who broke things.

A history can be written to a file and read again: `python -m tests.soak.run --check FILE` judges it once more.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

Json = dict[str, Any]
ENGINE_AWAY = "engine away"
"""a fault: for some seconds, nothing else is wrong than that Temporal answers nobody"""


class Outcome(StrEnum):
    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """no answer, or one that says that nobody knows: it may have happened, and may still happen"""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A call of somebody. Times are seconds since 1970, of the clock that all parts on this machine share."""

    number: int
    kind: str
    subject: str
    """the out_trade_no, team_id, event_id or campaign_id that it is about"""
    request: Json
    began: float
    ended: float
    outcome: Outcome
    code: str
    """of a refusal, or of what stood in for an answer"""
    answer: Json


@dataclass(frozen=True, kw_only=True)
class Callback:
    """An event as the mall received it, written down before the mall answered."""

    at: float
    event_id: str
    type: str
    sequence: int
    data: Json
    path: str
    """of an HTTP request, or the routing key of a message"""
    is_signed: bool
    """over HTTP, by the mall's own clock"""
    clock_step: float
    """by how many seconds that clock was wrong"""
    answered: int

    @property
    def way(self) -> str:
        return "http" if self.path.startswith("/") else "amqp"


@dataclass(frozen=True, kw_only=True)
class Fault:
    kind: str
    began: float
    ended: float
    whole_at: float | None
    """when every part was seen to work again; None: not within the time that it has"""


@dataclass(frozen=True)
class History:
    operations: tuple[Operation, ...] = ()
    callbacks: tuple[Callback, ...] = ()
    faults: tuple[Fault, ...] = ()

    def write(self, path: Path) -> None:
        with path.open("w") as file:
            for kind, items in (("operation", self.operations), ("callback", self.callbacks), ("fault", self.faults)):
                file.writelines(json.dumps({"what": kind, **asdict(item)}) + "\n" for item in items)

    @classmethod
    def read(cls, lines: Iterable[str]) -> Self:
        found: dict[str, list[Json]] = {"operation": [], "callback": [], "fault": []}
        for line in lines:
            item: Json = json.loads(line)
            found.get(item.pop("what"), []).append(item)
        return cls(
            tuple(Operation(**{**item, "outcome": Outcome(item["outcome"])}) for item in found["operation"]),
            tuple(Callback(**item) for item in found["callback"]),
            tuple(Fault(**item) for item in found["fault"]),
        )
