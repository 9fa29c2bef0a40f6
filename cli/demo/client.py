"""The HTTP client of the demo and the check."""

import asyncio
from dataclasses import dataclass
from typing import Generic, TypeVar

import aiohttp
import click
from pydantic import BaseModel, JsonValue, ValidationError

from cli.demo.schemas import Problem

REQUEST_TIMEOUT = 15.0
"""seconds; the API answers within 8"""
ATTEMPTS = 5
"""of a request that is answered `temporarily_unavailable`"""


class JourneyError(click.ClickException):
    """Ends the journey: click prints the one line and exits with 1."""


class NoAnswerError(JourneyError):
    """Whether the request was carried out is unknown."""


class RefusedError(JourneyError):
    def __init__(self, call: str, status: int, problem: Problem) -> None:
        super().__init__(f"{call} was refused: {status} {problem.line}")
        self.status = status
        self.problem = problem


def require(subject: str, actual: object, expected: object) -> None:
    """Ends the journey where the platform does not do what is said next.

    Raises:
        JourneyError: the two differ.
    """
    if actual != expected:
        raise JourneyError(f"{subject} is {actual}, and should be {expected}")


AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclass(frozen=True)
class Answer(Generic[AnswerT]):
    status: int
    replayed: bool
    body: AnswerT


@dataclass(frozen=True)
class Client:
    """JSON over HTTP.

    Raises:
        RefusedError: the answer is a problem.
        NoAnswerError: there is no answer.
        JourneyError: it has not the expected form.
    """

    base_url: str
    http: aiohttp.ClientSession
    key: str | None = None
    attempts: int = ATTEMPTS

    async def call(
        self, expected: type[AnswerT], method: str, path: str, body: dict[str, JsonValue] | None = None
    ) -> Answer[AnswerT]:
        for attempts_left in reversed(range(self.attempts)):
            try:
                return await self._attempt(expected, method, path, body)
            except RefusedError as refused:
                # The outcome is unknown: the same request with the same out_trade_no finds it, and takes no second seat.
                if refused.problem.code != "temporarily_unavailable" or not attempts_left:
                    raise
            click.echo("   … temporarily unavailable: the same request again")
            await asyncio.sleep(1)
        raise AssertionError("unreachable")

    async def _attempt(
        self, expected: type[AnswerT], method: str, path: str, body: dict[str, JsonValue] | None
    ) -> Answer[AnswerT]:
        call = f"{method} {path}"
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            async with self.http.request(method, self.base_url + path, json=body, headers=headers) as response:
                text = await response.text()
        except TimeoutError as error:
            raise NoAnswerError(f"{call}: no answer from {self.base_url} within {REQUEST_TIMEOUT:g} s") from error
        except (aiohttp.ClientError, UnicodeDecodeError) as error:
            raise NoAnswerError(f"{call}: no answer from {self.base_url}: {error}") from error
        try:
            if response.status >= 400:
                raise RefusedError(call, response.status, Problem.model_validate_json(text))
            answer = expected.model_validate_json(text)
        except ValidationError as error:
            first_line = text.strip().partition("\n")[0][:200]
            raise JourneyError(f"{call}: unexpected answer from {self.base_url}: {response.status} {first_line}") from error
        return Answer(response.status, response.headers.get("Idempotent-Replayed") == "true", answer)
