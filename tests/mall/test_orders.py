"""The event with the highest sequence decides what to do about an order, in whatever order events arrive."""

from itertools import permutations

import pytest

from tests.mall.conftest import Mall, StartMall, event

COMPLETED = event("team.completed", 5, team_id="t1", completion="target", out_trade_nos=["a", "b", "c"])
REQUESTED = event("order.refund_requested", 6, team_id="t1", out_trade_no="b", amount="80.00", reason="buyer")
REFUNDED = event("order.refunded", 7, team_id="t1", out_trade_no="b", kind="paid_formed", amount="80.00", reason="buyer")


@pytest.mark.parametrize(
    ("type_", "to_do"),
    [
        ("order.cancelled", "closed"),
        ("order.reseated", "wait"),
        ("order.refund_requested", "hold"),
        ("order.refunded", "money back"),
    ],
)
async def test_each_event_sets_its_task(mall: Mall, type_: str, to_do: str) -> None:
    await mall.send("evt_1", event(type_, 1, team_id="t1", out_trade_no="a"))
    assert await mall.to_do() == {"a": to_do}


async def test_the_highest_sequence_decides_in_every_order_of_arrival(start_mall: StartMall) -> None:
    async with start_mall() as mall:
        for run, arrival in enumerate(permutations([COMPLETED, REQUESTED, REFUNDED])):
            # Each permutation uses orders of its own.
            for body in arrival:
                renamed = body
                for name in (b"a", b"b", b"c"):
                    renamed = renamed.replace(b'"%s"' % name, b'"%s%d"' % (name, run))
                await mall.send(f"evt_{run}_{arrival.index(body)}", renamed)
            tasks = await mall.to_do()
            assert {name: tasks[f"{name}{run}"] for name in "abc"} == {"a": "ship", "b": "money back", "c": "ship"}


async def test_a_repeat_of_an_earlier_event_changes_nothing(mall: Mall) -> None:
    await mall.send("evt_5", COMPLETED)
    await mall.send("evt_7", REFUNDED)
    await mall.send("evt_5", COMPLETED)
    assert (await mall.to_do())["b"] == "money back"


async def test_a_failed_team_does_not_replace_the_task_to_return_the_money(mall: Mall) -> None:
    await mall.send("evt_1", event("order.refunded", 1, team_id="t1", out_trade_no="a", amount="80.00"))
    await mall.send("evt_2", event("team.failed", 2, team_id="t1", reason="expired", out_trade_nos=["a", "b"]))
    assert await mall.to_do() == {"a": "money back"}


async def test_orders_are_listed_by_team_with_the_deciding_event(mall: Mall) -> None:
    await mall.send("evt_5", COMPLETED)
    await mall.send("evt_8", event("order.cancelled", 8, team_id="t2", out_trade_no="x"))
    assert (await mall.get("/orders", team_id="t2"))["data"] == [
        {"out_trade_no": "x", "team_id": "t2", "to_do": "closed", "type": "order.cancelled", "sequence": 8}
    ]
