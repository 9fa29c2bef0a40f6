"""The calls that take a body, each with one that is good; and what bad input must leave behind."""

from tests.api.caller import Caller
from tests.api.shop import Json, Shop, campaign_of

ORDER: Json = {"out_trade_no": "trade-1", "user_id": "user-1", "goods_id": "9890001", "channel": "c01"}
QUOTE: Json = {"goods_id": "9890001", "channel": "c01", "user_id": "user-1"}
PAYMENT: Json = {"amount": "80.00", "paid_at": "2026-01-31T12:00:00Z"}
GOODS: Json = {"name": "A book", "original_price": "100.00"}
CAMPAIGN: Json = campaign_of("9890001", status="draft")
RULE: Json = {"min_orders": 1, "since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}
MALL: Json = {"name": "A mall", "callback": {"kind": "http", "url": "https://a.example/"}, "callback_hosts": ["a.example"]}
KEY: Json = {"name": "A key", "source": "s01", "scopes": ["read"]}
SAMPLE: Json = {"type": "team.failed"}
MISSED: Json = {"source": "s01", "since": "2026-01-31T12:00:00Z", "until": "2026-01-31T13:00:00Z"}
CALLS = {
    "order": ("POST", "/v1/orders", ORDER),
    "quote": ("POST", "/v1/quotes", QUOTE),
    "payment": ("POST", "/v1/orders/trade-1/payment", PAYMENT),
    "goods": ("PUT", "/v1/ops/goods/9890001", GOODS),
    "campaign": ("POST", "/v1/ops/campaigns", CAMPAIGN),
    "change": ("PATCH", "/v1/ops/campaigns/100123", {}),
    "sample": ("POST", "/v1/events/test", SAMPLE),
    "missed": ("POST", "/v1/ops/callbacks/resend", MISSED),
    "extend": ("POST", "/v1/ops/teams/team-1/extend", {"minutes": 5}),
    "audience": ("PUT", "/v1/ops/audiences/vip", {"name": "Best buyers"}),
    "rule": ("POST", "/v1/ops/audiences/vip/rule", RULE),
    "mall": ("PUT", "/v1/ops/malls/s77", MALL),
    "key": ("POST", "/v1/ops/keys", KEY),
    "switch": ("PUT", "/v1/ops/switches/rollout", {"value": 50}),
    "close": ("POST", "/v1/ops/teams/team-1/close", {}),
    "resolve": ("POST", "/v1/ops/attention/callback/evt_1/resolve", {"note": "told by mail"}),
}


def caller(shop: Shop, path: str) -> Caller:
    """Whose key a path takes."""
    return shop.ops if path.startswith("/v1/ops") else shop.mall
