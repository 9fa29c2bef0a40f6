"""What a mall of the original system calls: its paths and bodies, on our workflows. Every answer is 200 with its envelope."""

import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from api.container import Container
from api.dependencies import ContainerDep
from api.legacy import answers as original
from api.legacy.ip_allowlist import require_allowed_address
from api.legacy.switches import switch_of
from api.legacy.wire import Code, ConfigRequest, Envelope, LockRequest, OrderRequest, SettlementRequest, code_of, envelope
from api.routes.quotes import TEAMS_SHOWN, market
from db.core.connection import INFRASTRUCTURE_FAILURES
from db.legacy import known_sources, own_numbers
from db.orders.queries import read_order
from db.settings.keys import MallAccess, read_mall_without_key
from db.settings.switches import set_switch
from domain.errors import MEANINGS, ErrorCode, GroupBuyError, Refusal
from domain.messages.refunds import RefundRequest
from domain.schemas.orders import Order, Payment
from domain.schemas.quotes import QuoteRequest
from domain.types import MAX_CAMPAIGN_ID

log = logging.getLogger("groupbuy.api")

BY = "original"
BY_DCC = "original dcc"


class Answer(NamedTuple):
    code: Code
    info: str
    data: object = None


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class EnvelopedRoute(APIRoute):
    """Serves who may be served, and puts whatever comes of a request into the envelope."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def enveloped(request: Request) -> Response:
            settings = request.app.state.container.settings
            peer = request.client.host if request.client else None
            require_allowed_address(peer, request.headers, settings.original_networks, settings.trusted_proxies)
            try:
                return await handle(request)
            except RequestValidationError as mistake:
                answer = Answer(Code.ILLEGAL_PARAMETER, _named(mistake.errors()))
            except HTTPException:  # a body that cannot even be decoded
                answer = Answer(Code.ILLEGAL_PARAMETER, _named([]))
            except GroupBuyError as error:
                answer = Answer(code_of(error.code), error.detail)
            except INFRASTRUCTURE_FAILURES as failure:
                log.warning("the database did not serve a request: %s: %s", type(failure).__name__, failure)
                answer = Answer(Code.UNKNOWN_FAILURE, "The database is away; repeat the same request.")
            except Exception:
                log.exception("a defect")
                answer = Answer(Code.UNKNOWN_FAILURE, "This is a defect of ours; it has been logged.")
            return _sent(answer)

        return enveloped


def _named(errors: Sequence[Any]) -> str:
    # Never the input itself: it may be anything.
    fields = [".".join(map(str, error["loc"]))[:64] for error in errors[:20]]
    return f"Missing or malformed: {', '.join(fields) or 'body'}."


def _sent(answer: Answer) -> Response:
    return Response(envelope(*answer), media_type="application/json")


routes = APIRouter(prefix="/api/v1/gbm", tags=["original"], route_class=EnvelopedRoute)


@routes.post("/index/query_group_buy_market_config", response_model=Envelope)
async def query_config(asked: ConfigRequest, container: ContainerDep) -> Response:
    """The price of goods, the teams that can be joined, and how many took part."""
    return _sent(await _config(container, asked))


@routes.post("/trade/lock_market_pay_order", response_model=Envelope)
async def lock(asked: LockRequest, container: ContainerDep) -> Response:
    """Hold a seat; without teamId, open a team."""
    return _sent(await _lock(container, asked))


@routes.post("/trade/settlement_market_pay_order", response_model=Envelope)
async def settle(asked: SettlementRequest, container: ContainerDep) -> Response:
    """Report that an order's price was paid."""
    return _sent(await _settle(container, asked))


@routes.post("/trade/refund_market_pay_order", response_model=Envelope)
async def refund(asked: OrderRequest, container: ContainerDep) -> Response:
    """Undo an order."""
    return _sent(await _refund(container, asked))


@routes.get("/dcc/update_config", response_model=Envelope)
async def update_config(container: ContainerDep, key: str = "", value: str = "") -> Response:
    """Set a switch by the original's name for it."""
    return _sent(await _update_config(container, key, value))


async def _config(container: Container, asked: ConfigRequest) -> Answer:
    await _mall(container, asked.source)
    wanted = QuoteRequest(goods_id=asked.goods_id, channel=asked.channel, user_id=asked.user_id)
    found = await market(container, asked.source, wanted, TEAMS_SHOWN)
    if against := original.against_config(found):
        raise Refusal(against, f"{MEANINGS[against].title}.")
    numbers = await own_numbers(container.database, [team.team_id for team in found.teams if team.mine], asked.user_id)
    return Answer(Code.SUCCESS, "success", original.config(found, numbers, asked.user_id, datetime.now(UTC)))


async def _lock(container: Container, asked: LockRequest) -> Answer:
    if not 0 < asked.activity_id <= MAX_CAMPAIGN_ID:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {asked.activity_id}.")
    try:
        new = asked.new_order
    except ValidationError as mistake:
        raise Refusal(ErrorCode.INVALID_REQUEST, _named(mistake.errors())) from None
    order, _ = await container.trading.lock(await _mall(container, asked.source), new, "original")
    return Answer(Code.SUCCESS, "success", original.locked(order))


async def _settle(container: Container, asked: SettlementRequest) -> Answer:
    mall, order = await _order(container, asked)
    payment = Payment(amount=order.pay_price, paid_at=asked.out_trade_time)
    settlement, _ = await container.trading.pay(mall, asked.out_trade_no, payment)
    if against := original.against_settlement(settlement):
        return Answer(against, f"The payment goes back to the buyer: {settlement.reason}.")
    return Answer(Code.SUCCESS, "success", original.settled(settlement.order))


async def _refund(container: Container, asked: OrderRequest) -> Answer:
    _, order = await _order(container, asked)
    try:
        done, repeated = await container.refunding.refund(asked.source, asked.out_trade_no, RefundRequest())
    except Refusal as refusal:
        if refusal.code is not ErrorCode.REFUND_WINDOW_CLOSED:
            raise
        return Answer(Code.SUCCESS, "success", original.refunded(order, "fail", refusal.detail))
    info = f"The order is undone ({done.kind}); its refund is {done.status}."
    return Answer(Code.SUCCESS, "success", original.refunded(order, "repeat" if repeated else "success", info))


async def _update_config(container: Container, key: str, value: str) -> Answer:
    try:
        switch = switch_of(key, value, await known_sources(container.database))
    except ValidationError:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"{key[:40]!r} cannot be {value[:40]!r}.") from None
    except ValueError as mistake:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"{mistake}.") from None
    if switch is not None:
        await set_switch(container.database, *switch, by=BY_DCC, now=datetime.now(UTC))
        container.remembered.forget_all()
    return Answer(Code.SUCCESS, "success", data=True)


async def _mall(container: Container, source: str) -> MallAccess:
    """The mall that a request names; its limit holds here as everywhere.

    Raises:
        Refusal: mall_not_found, rate_limited.
    """
    mall = await container.remembered.recall(
        (BY, source), lambda: read_mall_without_key(container.database, source, BY), lambda _: [f"mall/{source}"]
    )
    if mall is None:
        raise Refusal(ErrorCode.MALL_NOT_FOUND, f"There is no mall {source}.")
    if not container.rates.take(source, mall.request_limit).allowed:
        raise Refusal(ErrorCode.RATE_LIMITED, f"{source} may send {mall.request_limit} requests a second.")
    return mall


async def _order(container: Container, asked: OrderRequest) -> tuple[MallAccess, Order]:
    """The order, if it is this buyer's in this channel: else nothing is known of it."""
    unknown = Refusal(ErrorCode.ORDER_NOT_FOUND, f"{asked.user_id} has no order {asked.out_trade_no} in {asked.channel}.")
    try:
        mall = await _mall(container, asked.source)
    except Refusal as refusal:
        raise (unknown if refusal.code is ErrorCode.MALL_NOT_FOUND else refusal) from None
    record = await read_order(container.database, asked.source, asked.out_trade_no)
    if record is None or not asked.names(record.order):
        raise unknown
    return mall, record.order
