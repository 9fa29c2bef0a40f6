"""The HTTP client of the demo, and the answers that it reads."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

import aiohttp
import click
from pydantic import BaseModel, JsonValue, ValidationError

_REQUEST_SECONDS = 15.0  # the API answers within 8
_TRIES = 5  # of a request whose outcome is open
_PATIENCE_SECONDS = 60.0  # for what the platform does by itself
_SILENCE_SECONDS = 5.0  # of waiting, before the account says so


# The answers, as far as the demo reads them.


class Workflow(BaseModel):
    id: str
    url: str | None


class Quote(BaseModel):
    campaign_id: int
    goods_name: str
    original_price: Decimal
    deduction: Decimal
    pay_price: Decimal
    target_count: int
    joinable: bool
    reasons: list[str]


class Order(BaseModel):
    order_id: str
    out_trade_no: str
    user_id: str
    team_id: str
    goods_id: str
    status: str
    pay_price: Decimal
    lock_expires_at: datetime
    cancel_reason: str | None


class Team(BaseModel):
    status: str
    target_count: int
    lock_count: int
    complete_count: int
    deadline: datetime
    workflow: Workflow | None

    @property
    def seats(self) -> str:
        unpaid, empty = self.lock_count - self.complete_count, self.target_count - self.lock_count
        return "●" * self.complete_count + "◐" * unpaid + ("○" if self.status == "forming" else "–") * empty


class Payment(BaseModel):
    outcome: str
    reason: str | None = None
    team: Team


class Orders(BaseModel):
    data: list[Order]


class FieldProblem(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    code: str
    detail: str = ""
    errors: list[FieldProblem] = []

    @property
    def line(self) -> str:
        fields = "; ".join(f"{error.field}: {error.message}" for error in self.errors)
        return " ".join(part for part in (f"{self.code}: {self.detail}", fields and f"({fields})") if part)


class Callback(BaseModel):
    event_id: str
    type: str
    sequence: int
    data: dict[str, JsonValue]
    times_received: int


class Callbacks(BaseModel):
    data: list[Callback]


class DemoError(click.ClickException):
    """Ends the demo: click prints the one line and exits with 1."""


class RefusedError(DemoError):
    def __init__(self, call: str, status: int, problem: Problem) -> None:
        super().__init__(f"{call} was refused: {status} {problem.line}")
        self.status = status
        self.problem = problem


def require(what: str, found: object, wanted: object) -> None:
    """Ends the demo where the platform does not do what the account is about to tell."""
    if found != wanted:
        raise DemoError(f"{what} is {found}, and should be {wanted}")


AnswerT = TypeVar("AnswerT", bound=BaseModel)
SeenT = TypeVar("SeenT")


@dataclass(frozen=True)
class Answer(Generic[AnswerT]):
    status: int
    replayed: bool
    body: AnswerT


@dataclass(frozen=True)
class Client:
    """JSON over HTTP, where everything that is no answer is a DemoError."""

    base_url: str
    http: aiohttp.ClientSession
    key: str | None = None

    async def call(
        self,
        expected: type[AnswerT],
        method: str,
        path: str,
        body: dict[str, JsonValue] | None = None,
    ) -> Answer[AnswerT]:
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._once(expected, method, path, body)
            except RefusedError as refused:
                # The outcome is open: the same request with the same out_trade_no finds out, and takes no second seat.
                if refused.problem.code != "temporarily_unavailable" or not tries_left:
                    raise
            click.echo("   … temporarily unavailable: the same request again")
            await asyncio.sleep(1)
        raise AssertionError("unreachable")

    async def _once(
        self,
        expected: type[AnswerT],
        method: str,
        path: str,
        body: dict[str, JsonValue] | None,
    ) -> Answer[AnswerT]:
        call = f"{method} {path}"
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            async with self.http.request(method, self.base_url + path, json=body, headers=headers) as response:
                text = await response.text()
        except TimeoutError as error:
            raise DemoError(f"{call}: no answer from {self.base_url} within {_REQUEST_SECONDS:g} s") from error
        except (aiohttp.ClientError, UnicodeDecodeError) as error:
            raise DemoError(f"{call}: no answer from {self.base_url}: {error}") from error
        try:
            if response.status >= 400:
                raise RefusedError(call, response.status, Problem.model_validate_json(text))
            answer = expected.model_validate_json(text)
        except ValidationError as error:
            first = text.strip().partition("\n")[0][:200]
            raise DemoError(f"{call}: unexpected answer from {self.base_url}: {response.status} {first}") from error
        return Answer(response.status, response.headers.get("Idempotent-Replayed") == "true", answer)
