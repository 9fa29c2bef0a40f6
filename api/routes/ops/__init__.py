"""The routes of operators and administrators, a module per resource."""

from api.routes.ops import (
    attention,
    audiences,
    audit,
    callbacks,
    campaigns,
    exports,
    goods,
    invariants,
    keys,
    malls,
    orders,
    payloads,
    refunds,
    settlements,
    statistics,
    switches,
    teams,
)

ROUTERS = tuple(
    module.router
    for module in (
        *(goods, campaigns, audiences),
        *(teams, orders, refunds, callbacks, attention, invariants, statistics, settlements, exports),
        *(switches, malls, keys, audit, payloads),
    )
)
