"""The routes of the legacy format. Every answer is 200 with the format's envelope."""

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
from api.legacy import answers
from api.legacy.ip_allowlist import require_allowed_address
from api.legacy.switches import switch_of
from api.legacy.wire import Code, ConfigRequest, Envelope, LockRequest, OrderRequest, SettlementRequest, code_of, envelope
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

TEAMS_SHOWN = 10
BY, BY_DCC = "original", "original dcc"
"""as the audit names the legacy format"""


class Answer(NamedTuple):
    code: Code
    info: str
    data: object = None


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class EnvelopedRoute(APIRoute):
    """Checks the caller's address, and puts every answer and error into the envelope."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def enveloped(request: Request) -> Response:
            settings = request.app.state.container.settings
            peer = request.client.host if request.client else None
            require_allowed_address(peer, request.headers, settings.original_networks, settings.trusted_proxies)
            try:
                return await handle(request)
            except RequestValidationError as exc:
                answer = Answer(Code.ILLEGAL_PARAMETER, _invalid_fields(exc.errors()))
            except HTTPException:  # a body that cannot be decoded
                answer = Answer(Code.ILLEGAL_PARAMETER, _invalid_fields([]))
            except GroupBuyError as exc:
                answer = Answer(code_of(exc.code), exc.detail)
            except INFRASTRUCTURE_FAILURES as exc:
                log.warning("the database did not serve a request: %s: %s", type(exc).__name__, exc)
                answer = Answer(Code.UNKNOWN_FAILURE, "The database is unavailable; repeat the same request.")
            except Exception:
                log.exception("unexpected error")
                answer = Answer(Code.UNKNOWN_FAILURE, "This is a defect of the platform; it has been logged.")
            return _response(answer)

        return enveloped


def _invalid_fields(errors: Sequence[Any]) -> str:
    # Without the input, which may be large and may hold secrets.
    fields = [".".join(map(str, error["loc"]))[:64] for error in errors[:20]]
    return f"Missing or malformed: {', '.join(fields) or 'body'}."


def _response(answer: Answer) -> Response:
    return Response(envelope(*answer), media_type="application/json")


router = APIRouter(prefix="/api/v1/gbm", tags=["legacy"], route_class=EnvelopedRoute)


@router.post("/index/query_group_buy_market_config", response_model=Envelope)
async def query_config(body: ConfigRequest, container: ContainerDep) -> Response:
    """Get the price of goods, the teams that can be joined, and how many took part."""
    return _response(await _config(container, body))


@router.post("/trade/lock_market_pay_order", response_model=Envelope)
async def lock(body: LockRequest, container: ContainerDep) -> Response:
    """Hold a seat; without teamId, open a team."""
    return _response(await _lock(container, body))


@router.post("/trade/settlement_market_pay_order", response_model=Envelope)
async def settle(body: SettlementRequest, container: ContainerDep) -> Response:
    """Report the payment of an order at its price."""
    return _response(await _settle(container, body))


@router.post("/trade/refund_market_pay_order", response_model=Envelope)
async def refund(body: OrderRequest, container: ContainerDep) -> Response:
    """Undo an order."""
    return _response(await _refund(container, body))


@router.get("/dcc/update_config", response_model=Envelope)
async def update_config(container: ContainerDep, key: str = "", value: str = "") -> Response:
    """Set a switch by its legacy name."""
    return _response(await _update_config(container, key, value))


async def _config(container: Container, body: ConfigRequest) -> Answer:
    await _mall(container, body.source)
    request = QuoteRequest(goods_id=body.goods_id, channel=body.channel, user_id=body.user_id)
    market = await container.quotes.market(body.source, request, TEAMS_SHOWN)
    if refusal := answers.config_refusal(market):
        raise Refusal(refusal, f"{MEANINGS[refusal].title}.")
    numbers = await own_numbers(container.database, [team.team_id for team in market.teams if team.mine], body.user_id)
    return Answer(Code.SUCCESS, "success", answers.config(market, numbers, body.user_id, datetime.now(UTC)))


async def _lock(container: Container, body: LockRequest) -> Answer:
    if not 0 < body.activity_id <= MAX_CAMPAIGN_ID:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {body.activity_id}.")
    try:
        new = body.new_order
    except ValidationError as exc:
        raise Refusal(ErrorCode.INVALID_REQUEST, _invalid_fields(exc.errors())) from None
    order, _ = await container.orders.lock(await _mall(container, body.source), new, "original")
    return Answer(Code.SUCCESS, "success", answers.locked(order))


async def _settle(container: Container, body: SettlementRequest) -> Answer:
    mall, order = await _order(container, body)
    payment = Payment(amount=order.pay_price, paid_at=body.out_trade_time)
    settlement, _ = await container.orders.pay(mall, body.out_trade_no, payment)
    if refusal := answers.settlement_refusal(settlement):
        return Answer(refusal, f"The payment is refunded: {settlement.reason}.")
    return Answer(Code.SUCCESS, "success", answers.settled(settlement.order))


async def _refund(container: Container, body: OrderRequest) -> Answer:
    _, order = await _order(container, body)
    try:
        found, repeated = await container.refunds.refund(body.source, body.out_trade_no, RefundRequest())
    except Refusal as exc:
        if exc.code is not ErrorCode.REFUND_WINDOW_CLOSED:
            raise
        return Answer(Code.SUCCESS, "success", answers.refunded(order, "fail", exc.detail))
    info = f"The order is undone ({found.kind}); its refund is {found.status}."
    return Answer(Code.SUCCESS, "success", answers.refunded(order, "repeat" if repeated else "success", info))


async def _update_config(container: Container, key: str, value: str) -> Answer:
    try:
        switch = switch_of(key, value, await known_sources(container.database))
    except ValidationError:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"{key[:40]!r} cannot be {value[:40]!r}.") from None
    except ValueError as exc:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"{exc}.") from None
    if switch is not None:
        await set_switch(container.database, *switch, by=BY_DCC, now=datetime.now(UTC))
        container.cache.invalidate_all()
    return Answer(Code.SUCCESS, "success", data=True)


async def _mall(container: Container, source: str) -> MallAccess:
    """Returns the mall that a request names, within its request limit.

    Raises:
        Refusal: mall_not_found, rate_limited.
    """
    mall = await container.cache.get(
        (BY, source), lambda: read_mall_without_key(container.database, source, BY), lambda _: [f"mall/{source}"]
    )
    if mall is None:
        raise Refusal(ErrorCode.MALL_NOT_FOUND, f"There is no mall {source}.")
    if not container.rate_limiter.take(source, mall.request_limit).allowed:
        raise Refusal(ErrorCode.RATE_LIMITED, f"{source} may send {mall.request_limit} requests per second.")
    return mall


async def _order(container: Container, body: OrderRequest) -> tuple[MallAccess, Order]:
    """Returns the order of this buyer in this channel.

    Raises:
        Refusal: order_not_found, also for an unknown mall, another buyer's order or another channel; rate_limited.
    """
    unknown = Refusal(ErrorCode.ORDER_NOT_FOUND, f"{body.user_id} has no order {body.out_trade_no} in {body.channel}.")
    try:
        mall = await _mall(container, body.source)
    except Refusal as exc:
        raise (unknown if exc.code is ErrorCode.MALL_NOT_FOUND else exc) from None
    record = await read_order(container.database, body.source, body.out_trade_no)
    if record is None or not body.names(record.order):
        raise unknown
    return mall, record.order
