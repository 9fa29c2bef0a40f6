"""Parts of answers that several routes share."""

from fastapi import Response

from domain.types import Schema

REPLAYED = "Idempotent-Replayed"


class Redelivered(Schema):
    count: int
    """events that are sent again; 0: there is no address, or a question that has its answer"""


def forbid_storing(response: Response) -> None:
    """A dependency of calls whose answer shows a secret, which no cache may keep."""
    response.headers["Cache-Control"] = "no-store"


def mark_replayed(response: Response, *, replayed: bool) -> None:
    """Gives the answer to a repeated request its status and header."""
    if replayed:
        response.status_code = 200
        response.headers[REPLAYED] = "true"
