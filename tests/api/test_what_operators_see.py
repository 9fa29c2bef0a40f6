"""Temporal's UI as the operators' page: summaries, details, search."""

from temporalio.client import Client

from tests.api.polling import until
from tests.api.shop import Shop
from tests.api.signals import details, metadata, team_workflow, until_details


async def test_the_summary_says_what_the_team_is(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell(target_count=3)
    order = await offer.seat()
    description = await team_workflow(temporal, order["team_id"]).describe()
    summary = await description.static_summary()
    assert summary == f"Team of 3 for `A book`, campaign {offer.campaign_id}, mall s01"


async def test_the_details_are_a_table_of_the_seats(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell()
    opener, joiner = await offer.seats(2)
    await shop.settle(opener)
    shown = await until_details(team_workflow(temporal, opener["team_id"]), say=joiner["out_trade_no"])
    lines = shown.splitlines()
    assert lines[0].startswith("**forming**: 1 paid and 1 unpaid of 3 seats. It takes buyers until ")
    assert "|---|---|---|---|" in lines
    assert f"| {opener['out_trade_no']} | {opener['user_id']} | paid |  |" in lines
    [unpaid] = [line for line in lines if joiner["out_trade_no"] in line]
    assert unpaid.startswith(f"| {joiner['out_trade_no']} | {joiner['user_id']} | locked | 20")


async def test_the_details_of_a_large_team_show_fifty_seats(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell(target_count=60)
    orders = await offer.seats(55)
    shown = await details(team_workflow(temporal, orders[0]["team_id"]))
    assert sum("| locked |" in line for line in shown.splitlines()) == 50
    assert "and 5 more" in shown


async def test_every_signal_query_and_update_is_described(shop: Shop, temporal: Client) -> None:
    order = await (await shop.sell()).seat()
    definition = (await metadata(team_workflow(temporal, order["team_id"]))).definition
    assert definition.type == "TeamWorkflow"
    described = {
        kind: {one.name: one.description for one in definitions if not one.name.startswith("__")}
        for kind, definitions in {
            "signals": definition.signal_definitions,
            "queries": definition.query_definitions,
            "updates": definition.update_definitions,
        }.items()
    }
    assert set(described["signals"]) >= {"extend", "complete", "close"}
    assert set(described["queries"]) >= {"view"}
    assert set(described["updates"]) >= {"lock", "settle"}
    assert [name for kind in described.values() for name, description in kind.items() if not description] == []


async def test_teams_can_be_searched_by_mall_campaign_and_status(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell(target_count=2)
    forming = await offer.seat()
    orders = await offer.seats(2)
    await shop.settle(*orders)

    async def found(status: str) -> list[str]:
        query = f"Mall = 's01' AND CampaignId = '{offer.campaign_id}' AND TeamStatus = '{status}'"
        return [workflow.id async for workflow in temporal.list_workflows(query)]

    await until(lambda: found("completed"), lambda seen: seen == [f"team-{orders[0]['team_id']}"])
    await until(lambda: found("forming"), lambda seen: seen == [f"team-{forming['team_id']}"])


async def test_a_team_with_a_dead_callback_needs_attention(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell(target_count=2)
    orders = await offer.seats(2, callback={"kind": "amqp", "routing_key": "s01.orders"})
    await shop.settle(*orders)

    async def found() -> list[str]:
        query = f"NeedsAttention = true AND CampaignId = '{offer.campaign_id}'"
        return [workflow.id async for workflow in temporal.list_workflows(query)]

    await until(found, lambda seen: seen == [f"team-{orders[0]['team_id']}"])
    assert "1 callback(s) could not be delivered" in await details(team_workflow(temporal, orders[0]["team_id"]))


async def test_steps_and_timers_have_summaries(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell(target_count=2)
    orders = await offer.seats(2)
    await shop.settle(*orders)
    history = await team_workflow(temporal, orders[0]["team_id"]).fetch_history()
    events = [event for event in history.events if event.HasField("timer_started_event_attributes")]
    events += [event for event in history.events if event.HasField("activity_task_scheduled_event_attributes")]
    assert events
    assert [event for event in events if not event.user_metadata.summary.data] == []
