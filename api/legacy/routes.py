"""The routes of the legacy format. Every answer to who may call is 200 with the format's envelope."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from api.container import Container
from api.dependencies import ContainerDep
from api.http.access_log import REQUEST_ID
from api.legacy import answers
from api.legacy.access import Caller
from api.legacy.enveloped_route import DCC, FOR_PAGES, PREFIX, Answer, EnvelopedRoute, invalid_fields, legacy_malls, response
from api.legacy.switches import switch_of
from api.legacy.wire import Code, ConfigRequest, Envelope, LockRequest, OrderRequest, SettlementRequest
from db.legacy import known_sources, own_numbers
from db.orders.queries import read_order
from db.settings.keys import MallAccess
from db.settings.switches import set_switch
from domain.errors import MEANINGS, ErrorCode, Refusal
from domain.messages.acts import Author
from domain.messages.refunds import RefundRequest
from domain.networks import is_in
from domain.schemas.audit import Via
from domain.schemas.orders import Order, Payment
from domain.schemas.quotes import QuoteRequest
from domain.types import MAX_CAMPAIGN_ID

TEAMS_SHOWN = 10
BY_DCC = "original dcc"
"""as the audit names the legacy format's switches"""


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]

router = APIRouter(prefix=PREFIX, tags=["legacy"], route_class=EnvelopedRoute)


@router.post(FOR_PAGES, response_model=Envelope)
async def query_config(body: ConfigRequest, container: ContainerDep, caller: CallerDep) -> Response:
    """Get the price of goods, the teams that can be joined, and how many took part."""
    return response(await _config(container, caller, body))


@router.options(FOR_PAGES, include_in_schema=False)
async def preflight_query_config(request: Request) -> Response:
    """Tell a browser that a page may make this call."""
    wanted = request.headers.get("access-control-request-headers", "content-type")
    headers = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": wanted, "Access-Control-Max-Age": "600"}
    return Response(status_code=204, headers=headers)


@router.post("/trade/lock_market_pay_order", response_model=Envelope)
async def lock(body: LockRequest, container: ContainerDep, caller: CallerDep) -> Response:
    """Hold a seat; without teamId, open a team."""
    return response(await _lock(container, caller, body))


@router.post("/trade/settlement_market_pay_order", response_model=Envelope)
async def settle(body: SettlementRequest, container: ContainerDep, caller: CallerDep) -> Response:
    """Report the payment of an order at its price."""
    return response(await _settle(container, caller, body))


@router.post("/trade/refund_market_pay_order", response_model=Envelope)
async def refund(body: OrderRequest, container: ContainerDep, caller: CallerDep) -> Response:
    """Undo an order."""
    return response(await _refund(container, caller, body))


@router.get(DCC, response_model=Envelope)
async def update_config(
    container: ContainerDep, caller: CallerDep, request: Request, key: str = "", value: str = ""
) -> Response:
    """Set a switch by its legacy name."""
    address = str(caller.address)
    author = Author(operator=BY_DCC, via=Via.API, request_id=request.scope[REQUEST_ID], address=address)
    return response(await _update_config(container, author, key, value))


async def _config(container: Container, caller: Caller, body: ConfigRequest) -> Answer:
    await _mall(container, caller, body.source)
    request = QuoteRequest(goods_id=body.goods_id, channel=body.channel, user_id=body.user_id)
    market = await container.quotes.market(body.source, request, TEAMS_SHOWN)
    if refusal := answers.config_refusal(market):
        raise Refusal(refusal, f"{MEANINGS[refusal].title}.")
    # Not to a page: whoever opens it can name any buyer.
    own_teams = [team.team_id for team in market.teams if team.mine and caller.origin is None]
    numbers = await own_numbers(container.database, own_teams, body.user_id)
    return Answer(Code.SUCCESS, "success", answers.config(market, numbers, body.user_id, datetime.now(UTC)))


async def _lock(container: Container, caller: Caller, body: LockRequest) -> Answer:
    if not 0 < body.activity_id <= MAX_CAMPAIGN_ID:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {body.activity_id}.")
    try:
        new = body.new_order
    except ValidationError as exc:
        raise Refusal(ErrorCode.INVALID_REQUEST, invalid_fields(exc.errors())) from None
    order, _ = await container.orders.lock(await _mall(container, caller, body.source), new, "original")
    return Answer(Code.SUCCESS, "success", answers.locked(order, for_earlier_mall=body.is_of_earlier_mall))


async def _settle(container: Container, caller: Caller, body: SettlementRequest) -> Answer:
    mall, order = await _order(container, caller, body)
    payment = Payment(amount=order.pay_price, paid_at=body.out_trade_time)
    settlement, _ = await container.orders.pay(mall, body.out_trade_no, payment)
    if refusal := answers.settlement_refusal(settlement):
        return Answer(refusal, f"The payment is refunded: {settlement.reason}.")
    return Answer(Code.SUCCESS, "success", answers.settled(settlement.order))


async def _refund(container: Container, caller: Caller, body: OrderRequest) -> Answer:
    _, order = await _order(container, caller, body)
    try:
        found, repeated = await container.refunds.refund(body.source, body.out_trade_no, RefundRequest())
    except Refusal as exc:
        if exc.code is not ErrorCode.REFUND_WINDOW_CLOSED:
            raise
        return Answer(Code.SUCCESS, "success", answers.refunded(order, "fail", exc.detail))
    info = f"The order is undone ({found.kind}); its refund is {found.status}."
    return Answer(Code.SUCCESS, "success", answers.refunded(order, "repeat" if repeated else "success", info))


async def _update_config(container: Container, author: Author, key: str, value: str) -> Answer:
    try:
        switch = switch_of(key, value, await known_sources(container.database))
    except ValidationError:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"{key[:40]!r} cannot be {value[:40]!r}.") from None
    except ValueError as exc:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"{exc}.") from None
    if switch is not None:
        await set_switch(container.database, *switch, by=author, now=datetime.now(UTC))
        container.cache.invalidate_all()
    return Answer(Code.SUCCESS, "success", data=True)


async def _mall(container: Container, caller: Caller, source: str) -> MallAccess:
    """Returns the mall that a request names, within its request limit.

    Raises:
        Refusal: mall_not_found, also for a mall that this caller may not act for; rate_limited.
    """
    mall = (await legacy_malls(container)).get(source)
    is_page = caller.origin is not None
    if mall is None or not (is_page or is_in(caller.address, mall.networks)):
        detail = f"There is no mall {source} that {caller.address} may act for (legacy_networks)."
        raise Refusal(ErrorCode.MALL_NOT_FOUND, detail)
    # Pages are counted apart: buyers' browsers must not use up what the mall itself may send.
    limit = mall.access.request_limit
    if not container.rate_limiter.take(f"{source}/pages" if is_page else source, limit).allowed:
        raise Refusal(ErrorCode.RATE_LIMITED, f"{source} may send {limit} requests per second.")
    return mall.access


async def _order(container: Container, caller: Caller, body: OrderRequest) -> tuple[MallAccess, Order]:
    """Returns the order of this buyer in this channel.

    Raises:
        Refusal: order_not_found, also for an unknown mall, another buyer's order or another channel; rate_limited.
    """
    unknown = Refusal(ErrorCode.ORDER_NOT_FOUND, f"{body.user_id} has no order {body.out_trade_no} in {body.channel}.")
    try:
        mall = await _mall(container, caller, body.source)
    except Refusal as exc:
        raise (unknown if exc.code is ErrorCode.MALL_NOT_FOUND else exc) from None
    record = await read_order(container.database, body.source, body.out_trade_no)
    if record is None or not body.names(record.order):
        raise unknown
    return mall, record.order
