"""The pages, a module per entity."""

from console.pages import (
    attention,
    audiences,
    audit,
    callbacks,
    campaigns,
    goods,
    health,
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
        *(sign_in, overview, health, search, attention),
        *(teams, orders, refunds, callbacks),
        *(campaigns, goods, audiences, switches, malls, keys, audit),
    )
)
