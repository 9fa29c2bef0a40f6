"""The original's wire format: what a mall is told, and where."""

from tests.api.legacy.client import OldMall, lock_request
from tests.api.legacy.conftest import Notified
from tests.api.polling import until
from tests.api.shop import Shop


async def test_a_completion_is_told_at_notify_url_until_the_mall_says_success(
    shop: Shop, mall: OldMall, notified: Notified
) -> None:
    offer = await shop.sell(target_count=2)
    notify = {"notifyType": "HTTP", "notifyUrl": notified.url}
    opening = lock_request(offer, notifyConfigVO=notify)
    team = (await mall.lock(opening))["teamId"]
    joining = lock_request(offer, notifyConfigVO=notify, teamId=team)
    await mall.lock(joining)
    leaving = lock_request(offer, notifyConfigVO=notify)
    await mall.lock(leaving)
    await mall.settle(leaving)
    assert (await mall.refund(leaving))["code"] == "success"
    for second, asked in enumerate((opening, joining)):
        await mall.settle(asked, outTradeTime=1795514400000 + 1000 * second)

    async def bodies() -> list[object]:
        return notified.bodies

    told = await until(bodies, lambda bodies: len(bodies) == 2)
    body = {"teamId": team, "outTradeNoList": [opening["outTradeNo"], joining["outTradeNo"]]}
    assert told == [body, body], "the refund was not told here: any body means ship"
