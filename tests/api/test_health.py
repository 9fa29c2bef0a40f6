"""What a process says of itself, to whoever watches it."""

from tests.api.shop import Shop


async def test_readiness_says_what_waits_and_how_trades_were_admitted(shop: Shop) -> None:
    ready = (await shop.mall.get("/readyz")).ok()
    assert ready["engine"] == "ready"
    assert abs(ready["clock_offset_seconds"]) < 2
    assert ready["status"] == "ready"
    assert set(ready["direct"]) == {"bound", "same_team", "no_answer", "engine_away", "no_workflow"}
    assert ready["wakeups"] >= 0
    assert ready["oldest_wakeup_seconds"] >= 0
