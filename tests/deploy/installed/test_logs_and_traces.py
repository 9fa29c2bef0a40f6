"""Log lines and traces lead from a request to its callback, without secrets and buyers."""

import json
import secrets
from datetime import UTC, datetime

import pytest

from tests.deploy.buyers import BUYER, buyers
from tests.deploy.installation import Installation
from tests.deploy.traces import Span, TracedMall


@pytest.mark.usefixtures("checked")
async def test_every_log_line_is_json_without_keys_secrets_and_buyers(installed: Installation) -> None:
    lines = [line for output in installed.outputs.values() for line in output.decode().splitlines()]
    read = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger"} <= line.keys() for line in read)
    assert any(line["logger"] == "groupbuy.access" and line.get("out_trade_no") for line in read)
    text = "\n".join(lines)
    password = installed.settings["GROUPBUY_DATABASE_URL"].split(":")[2].split("@")[0]
    assert [secret for secret in (installed.admin_key, "gb_mall_", "gb_ops_", "whsec_", password) if secret in text] == []
    assert BUYER.findall(text.encode()) == []


@pytest.mark.usefixtures("checked")
async def test_a_payment_is_one_trace_from_the_mall_s_request_to_the_callback(installed: Installation) -> None:
    trace_id, mall_s_span = secrets.token_hex(16), secrets.token_hex(8)
    async with buyers(installed) as session:
        orders = {"ana": (await session.lock("ana")).body}
        for name in ("ben", "dan"):
            orders[name] = (await session.lock(name, orders["ana"].team_id)).body
        for name in ("ana", "ben"):
            await session.pay(name, orders[name])
        last = orders["dan"]
        headers = {"Authorization": f"Bearer {session.shop.mall_key}", "traceparent": f"00-{trace_id}-{mall_s_span}-01"}
        report = {"amount": str(last.pay_price), "paid_at": datetime.now(UTC).isoformat()}
        url = f"{installed.api_url}/v1/orders/{last.out_trade_no}/payment"
        async with session.api.http.post(url, json=report, headers=headers) as response:
            assert (await response.json())["team"]["status"] == "completed"
        await session.callbacks(last.team_id, ("team.completed", None))
        assert isinstance(session.mall, TracedMall)
        told = session.mall.traceparents["team.completed"].split("-")

        async def spans() -> dict[str, Span]:
            return {span.span_id: span for span in installed.collector.traces.get(trace_id, [])}

        def is_whole(found: dict[str, Span]) -> bool:
            return {"POST /v1/orders/{out_trade_no}/payment", "deliver"} <= {span.name for span in found.values()}

        found = await session.until("the trace", spans, is_whole)
    assert told[1] == trace_id
    sent = found[told[2]]
    assert sent.name == "send team.completed"

    def way(span: Span) -> list[str]:
        return [f"{span.service}: {span.name}", *([] if span.parent_id == mall_s_span else way(found[span.parent_id]))]

    request = ["groupbuy-api: update settle", "groupbuy-api: POST /v1/orders/{out_trade_no}/payment"]
    assert way(sent) == ["groupbuy-worker: send team.completed", "groupbuy-worker: deliver", *request]
    statements = [span for span in found.values() if "db.query.text" in span.attributes]
    assert ["groupbuy-worker: WITH", "groupbuy-worker: settle_payment", *request] in [way(span) for span in statements]
    # What is wrong with one request is found by its trace, and the trace by a line of the log.
    everything = "".join(span.text for trace in installed.collector.traces.values() for span in trace)
    assert BUYER.findall(everything.encode()) == []
    assert '"trace_id": "' in installed.outputs["api"].decode()
