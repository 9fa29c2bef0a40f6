"""The pages, a module per entity."""

from console.pages import (
    attention,
    audiences,
    audit,
    callbacks,
    campaigns,
    goods,
    keys,
    malls,
    orders,
    overview,
    refunds,
    search,
    sign_in,
    switches,
    teams,
)

ROUTERS = tuple(
    module.router
    for module in (
        *(sign_in, overview, search, attention),
        *(teams, orders, refunds, callbacks),
        *(campaigns, goods, audiences, switches, malls, keys, audit),
    )
)
