"""The pages, a module per entity."""

from console.pages import (
    attention,
    audiences,
    audit,
    callbacks,
    campaign_form,
    campaign_status,
    campaigns,
    changes,
    exports,
    goods,
    health,
    keys,
    malls,
    orders,
    overview,
    payloads,
    refunds,
    search,
    settlements,
    sign_in,
    switches,
    teams,
)

# In this order: an address with a word comes before those with an id at its place.
ROUTERS = tuple(
    module.router
    for module in (
        *(sign_in, overview, health, search, attention, changes),
        *(teams, orders, refunds, callbacks, settlements, exports),
        *(campaign_form, campaign_status, campaigns, goods, audiences, switches, malls, keys, audit, payloads),
    )
)
