"""The mall's page: the server sends a skeleton, which a script fills from `/shop`. Nothing is loaded from other hosts."""

from html import escape
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import BaseModel, Field

from mall.cashier import PaymentMode
from mall.http_receiver import TeamId
from mall.shop import BUYERS, Shop, ShopView
from mall.switches import NewSwitches

_STATIC = Path(__file__).parent / "static"

# The page shows text of others: the policy keeps it from loading or running anything, and from being framed.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Buyer = Annotated[str, Query(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class SeatRequest(BaseModel):
    buyer: Name
    goods_id: Name
    team_id: Name | None = None


class PaymentRequest(BaseModel):
    how: PaymentMode


def require_own_host(request: Request) -> None:
    """Refuses requests to another name that resolves to this machine: the site of that name could read the answer."""
    host = request.headers.get("host", "")
    try:
        is_own = urlsplit(f"//{host}").hostname in ("127.0.0.1", "localhost")
    except ValueError:
        is_own = False
    if not is_own:
        raise HTTPException(403, "this mall is 127.0.0.1 or localhost")


def require_same_origin(request: Request) -> None:
    """Refuses requests from other sites: they would trade with the mall's key."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if site not in (None, "same-origin") or origin not in (None, f"http://{request.headers['host']}"):
        raise HTTPException(403, "only this mall's own page may do this")


def page(shop: Shop, api_url: str) -> APIRouter:
    router = APIRouter()
    html = _skeleton(api_url)

    @router.get("/", response_class=HTMLResponse)
    async def home() -> HTMLResponse:
        return HTMLResponse(html, headers=_HEADERS)

    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in ("mall.js", "mall.css"):
            raise HTTPException(404, "there is no such file")
        return FileResponse(_STATIC / name, headers=_HEADERS)

    @router.get("/shop")
    async def view(buyer: Buyer, team_id: TeamId = None) -> ShopView:
        return await shop.view(buyer, team_id)

    buttons = APIRouter(dependencies=[Depends(require_same_origin)])

    @buttons.post("/shop/orders", status_code=201)
    async def take_seat(seat: SeatRequest) -> dict[str, str]:
        return {"out_trade_no": await shop.take_seat(seat.buyer, seat.goods_id, seat.team_id)}

    @buttons.post("/shop/orders/{out_trade_no}/payment", status_code=204)
    async def pay(out_trade_no: str, payment: PaymentRequest) -> None:
        await shop.pay(out_trade_no, payment.how)

    @buttons.post("/shop/orders/{out_trade_no}/refund", status_code=204)
    async def refund(out_trade_no: str) -> None:
        await shop.refund(out_trade_no)

    @buttons.post("/shop/switches", status_code=204)
    async def switch(new: NewSwitches) -> None:
        shop.switch(new)

    router.include_router(buttons)
    return router


def _skeleton(api_url: str) -> str:
    buyers = "".join(f'<option value="{name}">{name.title()}</option>' for name in BUYERS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Demo mall</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/mall.css">
<script src="/static/mall.js" defer></script>
</head>
<body>
<header>
<h1>Demo mall <span lang="zh">商城</span></h1>
<a id="unusual" class="chip busy" href="#switches-title" hidden></a>
<label>Buyer <select id="buyer">{buyers}<option value="">someone new…</option></select></label>
<p>A mall on the platform at <a href="{escape(api_url)}/docs">{escape(api_url)}</a>. Every button is a call of its public API.
Open this page in several tabs: each may be another buyer.</p>
</header>
<noscript><p class="problem">This page needs its script.</p></noscript>
<p id="message" class="problem" role="alert" hidden></p>
<main>
<section aria-labelledby="goods-title">
<h2 id="goods-title">Goods, quotes and teams <span lang="zh">商品 · 试算 · 拼团</span></h2>
<div id="goods" class="cards"></div>
</section>
<section aria-labelledby="orders-title">
<h2 id="orders-title"><span id="whose"></span> orders <span lang="zh">参团单</span></h2>
<div id="orders"></div>
</section>
<section aria-labelledby="switches-title">
<h2 id="switches-title">How this mall behaves</h2>
<div id="switches">
<fieldset id="mood"><legend>It is</legend></fieldset>
<fieldset id="way"><legend>New orders ask for callbacks over</legend></fieldset>
</div>
<p id="meaning"></p>
</section>
<section aria-labelledby="log-title">
<h2 id="log-title">Callbacks as they came <span lang="zh">回调</span></h2>
<p id="scope" hidden></p>
<div id="log" class="wide"></div>
</section>
<section aria-labelledby="to-do-title">
<h2 id="to-do-title">What the callbacks tell this mall to do</h2>
<div id="to-do" class="wide"></div>
</section>
</main>
</body>
</html>
"""
