"""Examples of bodies, composed from their schemas: a property of the same name has the same value everywhere."""

from typing import Any

Json = dict[str, Any]

_AT, _LATER, _DAY_AFTER = "2026-01-31T12:00:00Z", "2026-01-31T12:15:00Z", "2026-02-01T12:00:00Z"

SAMPLES: Json = {
    "source": "s01",
    "channel": "c01",
    "user_id": "buyer-1",
    "goods_id": "9890001",
    "goods_name": "A book on design",
    "campaign_id": 100123,
    "out_trade_no": "T20260131-0001",
    "out_trade_nos": ["T20260131-0001", "T20260131-0002", "T20260131-0003"],
    "order_id": "o-4kq7zv2m9x1c8b3n6d5f",
    "team_id": "t-4kq7zv2m9x1c8b3n6d5f",
    "original_price": "100.00",
    "deduction": "20.00",
    "pay_price": "80.00",
    "amount": "80.00",
    "target_count": 3,
    "min_count": None,
    "stock": 1000,
    "audience": None,
    "lock_count": 2,
    "complete_count": 1,
    "seats_left": 1,
    "expr": "20",
    "starts_at": "2026-01-01T00:00:00Z",
    "ends_at": "2026-12-31T00:00:00Z",
    "opened_at": _AT,
    "locked_at": _AT,
    "lock_expires_at": _LATER,
    "deadline": _DAY_AFTER,
    "paid_at": None,
    "timestamp": _AT,
    "url": "https://mall.example/callbacks/groupbuy",
    "callback_hosts": ["mall.example"],
    "routing_key_prefixes": ["s01."],
    "audience_id": "loyal",
    "min_orders": 2,
    "min_amount": "100.00",
    "since": "2026-01-01T00:00:00Z",
    "until": "2026-02-01T00:00:00Z",
    "changed_by": "ann",
    "begun_by": "ann",
    "started_by": "ann",
    "failure": None,
    "userId": "buyer-1",
    "goodsId": "9890001",
    "activityId": 100123,
    "outTradeNo": "T20260131-0001",
    "teamId": "t-4kq7zv2m9x1c8b3n6d5f",
    "lock_ttl": 900,
    "payment_grace": 30,
    "team_ttl": 86400,
    "refund_window": 604800,
    "take_limit": 1,
    "minutes": 60,
    "name": "Spring sale",
    "reason": "changed their mind",
    "detail": "",
    "note": "told by mail",
    "sequence": 41,
    "next_cursor": None,
    "id": "team-t-4kq7zv2m9x1c8b3n6d5f",
    "cancel_reason": None,
    "completed_at": None,
    "finished_at": None,
    "reasons": [],
    "errors": [],
    "violations": [],
}


def example(schema: Json, schemas: Json, name: str = "") -> Any:  # noqa: ANN401 - any JSON
    """Returns a value that is valid under the schema; `schemas` are the document's components, `name` the property's."""
    if name in SAMPLES and _admits(schema, SAMPLES[name], schemas):
        return SAMPLES[name]
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    for given in ("examples", "enum"):
        if schema.get(given):
            return schema[given][0]
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    for either in ("anyOf", "oneOf", "allOf"):
        if either in schema:
            return example(schema[either][0], schemas, name)
    match schema.get("type"):
        case "object":
            return {key: example(each, schemas, key) for key, each in schema.get("properties", {}).items()}
        case "array":
            return [example(schema["items"], schemas, name)] if schema.get("items") else []
        case "integer" | "number":
            least: Any = schema.get("minimum", schema.get("exclusiveMinimum", 0))
            return int(least) if schema["type"] == "integer" else least
        case "boolean":
            return True
        case "string":
            return {"date-time": _LATER, "date": _LATER[:10]}.get(schema.get("format", ""), "text")
    return None


def _admits(schema: Json, sample: Any, schemas: Json) -> bool:  # noqa: ANN401
    """Whether the sample has the schema's type: properties of the same name may have different types."""
    if "$ref" in schema:
        return _admits(schemas[schema["$ref"].rpartition("/")[2]], sample, schemas)
    for either in ("anyOf", "oneOf"):
        if either in schema:
            return any(_admits(each, sample, schemas) for each in schema[either])
    if "enum" in schema or "const" in schema:
        return False
    types = {"string": str, "integer": int, "array": list, "null": type(None)}
    return isinstance(sample, types.get(schema.get("type", ""), ()))
