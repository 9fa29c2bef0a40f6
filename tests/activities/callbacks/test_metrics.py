"""Attempts are counted in the worker's /metrics, beside those of the SDK."""

import aiohttp
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from embedded.ports import HOST, free_port
from worker import attempt_counter


async def test_attempts_are_counted_by_kind_and_outcome() -> None:
    address = f"{HOST}:{free_port()}"
    runtime = Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))
    count = attempt_counter(runtime)
    for outcome in ("delivered", "failed", "failed"):
        count("http", outcome)
    count("amqp", "dead")
    async with aiohttp.ClientSession() as http, http.get(f"http://{address}/metrics") as response:
        lines = (await response.text()).splitlines()
    counted = {
        line.replace(',service_name="temporal-core-sdk"', "")
        for line in lines
        if line.startswith("groupbuy_callback_attempts_total")
    }
    assert counted == {
        'groupbuy_callback_attempts_total{kind="http",outcome="delivered"} 1',
        'groupbuy_callback_attempts_total{kind="http",outcome="failed"} 2',
        'groupbuy_callback_attempts_total{kind="amqp",outcome="dead"} 1',
    }


def test_without_metrics_nothing_is_counted() -> None:
    attempt_counter(None)("http", "delivered")
