"""`groupbuy check`: plays the journeys, the refusals and a load against a running installation, and says what is wrong."""

import asyncio
import ipaddress
import secrets
import socket
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
import click
from pydantic import BaseModel

from cli.check.load import Load
from cli.check.refusals import RefusalsAndRepeats
from cli.check.report import Report
from cli.check.throw_away_mall import SOURCE, ThrowAwayMall
from cli.demo.campaigns import Campaigns
from cli.demo.client import REQUEST_TIMEOUT, Client, JourneyError, NoAnswerError, RefusedError
from cli.demo.receiving_mall import Listener, ReceivingMall, listening
from cli.demo.refund_journey import RefundJourney
from cli.demo.session import Session, Shop
from cli.demo.team_journey import TeamJourney

JOURNEYS_WITHIN = 60.0
"""seconds, without the load"""
WAIT_TIMEOUT = 15.0
"""seconds, for what the platform does by itself"""
CLEAN_UP_WITHIN = 10.0


class Version(BaseModel):
    name: str
    version: str


class Readiness(BaseModel):
    status: str
    engine: str
    clock_offset_seconds: float


@click.command(short_help="Check a running installation: journeys, refusals, repeats, invariants.")
@click.option("--api", "api_url", required=True, help="the API's address, e.g. https://groupbuy.example")
@click.option(
    "--admin-key",
    envvar="GROUPBUY_ADMIN_KEY",
    show_envvar=True,
    required=True,
    help="a key of operations with the scope admin; give it by the environment",
)
@click.option(
    "--load", "teams", type=click.IntRange(0, 10_000), default=0, help="also play so many teams at once, while you kill things"
)
@click.option("--callback-host", help="what the workers call this machine; by default its address on the way to the API")
@click.option(
    "--callback-port", type=click.IntRange(0, 65535), default=0, help="port for callbacks on this machine; 0: a free one"
)
def check(*, api_url: str, admin_key: str, teams: int, callback_host: str | None, callback_port: int) -> None:
    """Check a running installation within a minute, by trading in it.

    It admits a mall of its own, `check`, plays a team, every kind of refund, refusals and repeats, receives the callbacks,
    and reads the invariants. What it wrote stays: some teams, orders and ended campaigns of that mall. The exit code is 1 where
    something is wrong.
    """
    report = Report()
    began = datetime.now(UTC)
    try:
        listener = _listener(api_url, callback_host, callback_port)
        asyncio.run(_check(report, api_url.rstrip("/"), admin_key, listener, teams))
    except JourneyError as error:
        report.fail("The check cannot go on", error.message)
    took = (datetime.now(UTC) - began).total_seconds()
    click.echo()
    if report.failed:
        raise click.ClickException(f"{report.failed} of {report.failed + report.passed} steps failed, in {took:.1f} s")
    click.echo(f"all {report.passed} steps passed, in {took:.1f} s")


def _listener(api_url: str, name: str | None, port: int) -> Listener:
    if name is not None and not _is_address(name):
        return Listener("0.0.0.0", name, port)  # noqa: S104 - a name may lead to any address of this machine
    address = name or _address_towards(api_url)
    return Listener(address, address, port)


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


def _address_towards(api_url: str) -> str:
    """Returns the address that this machine has on the way to the API; nothing is sent."""
    url = urlsplit(api_url)
    try:
        port = url.port or (443 if url.scheme == "https" else 80)
        family, kind, protocol, _, address = socket.getaddrinfo(url.hostname, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as way:
            way.connect(address)
            return str(way.getsockname()[0])
    except (OSError, ValueError) as error:
        raise JourneyError(f"{api_url} is not the address of an API: {error}") from None


async def _check(report: Report, api_url: str, admin_key: str, listener: Listener, teams: int) -> None:
    began, run = datetime.now(UTC), secrets.token_hex(3)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)) as http:
        admin = Client(api_url, http, admin_key)
        with report.part():
            await _look(report, admin)
        if report.failed:
            return
        mall = ThrowAwayMall(admin, listener)
        await mall.admit(run)
        try:
            receiver = ReceivingMall(mall.webhook_secret)
            vetoing = ReceivingMall(mall.webhook_secret, "/vetoed", vetoes=True)
            async with listening(listener, receiver, vetoing):
                await mall.call_back_at(receiver.url)
                shop = Shop(name="check", api_url=api_url, source=SOURCE, mall_key=mall.key, ops_key=admin_key)
                session = Session(shop, receiver, http, report, wait_timeout=WAIT_TIMEOUT)
                await _play(report, session, receiver, vetoing, teams, began)
        finally:
            with suppress(JourneyError, TimeoutError):
                async with asyncio.timeout(CLEAN_UP_WITHIN):
                    await mall.leave()


async def _look(report: Report, admin: Client) -> None:
    await report.step(f"{admin.base_url} answers")
    try:
        version = (await admin.call(Version, "GET", "/version")).body
        await report.step(f"{version.name} {version.version} is ready")
        ready = (await admin.call(Readiness, "GET", "/readyz")).body
    except JourneyError as error:
        is_of_api = isinstance(error, RefusedError) and error.problem.code == "temporarily_unavailable"
        if is_of_api or isinstance(error, NoAnswerError):
            raise
        await report.step("It is not asked whether it is ready: its proxy does not pass that on")
        return
    if ready.status != "ready":
        raise JourneyError(
            f"it is {ready.status}: the engine is {ready.engine}; PostgreSQL's clock is {ready.clock_offset_seconds:g} s ahead"
        )


async def _play(
    report: Report, session: Session, receiver: ReceivingMall, vetoing: ReceivingMall, teams: int, began: datetime
) -> None:
    campaigns, rules = Campaigns(session), RefusalsAndRepeats(session)
    try:
        async with asyncio.timeout(JOURNEYS_WITHIN):
            session.goods_id = await campaigns.create(target_count=3)
            with report.part():
                await TeamJourney(session).play()
            with report.part():
                await RefundJourney(session, lambda: nullcontext(vetoing)).play()
            with report.part():
                await rules.play()
            with report.part():
                await rules.feed_agrees([receiver, vetoing])
    except TimeoutError:
        report.fail("The journeys", f"they are not through after {JOURNEYS_WITHIN:g} s")
    finally:
        with suppress(JourneyError):
            await campaigns.end_all()
    if teams:
        with report.part():
            session.goods_id = await campaigns.create(target_count=3)
            await Load(session, receiver, teams).play()
            await campaigns.end_all()
    with report.part():
        await report.step("The invariants hold")
        await session.require_invariants()
        await rules.nothing_needs_an_operator(began)
