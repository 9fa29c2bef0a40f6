"""The routes of malls and of monitoring, a module per resource; `metrics` may have a port of its own."""

from api.routes import docs, events, health, market, orders, problems, quotes, refunds, teams

# A request is looked for in them one after the other: what crowds ask for comes first.
ROUTERS = tuple(module.router for module in (orders, quotes, market, refunds, teams, events, problems, health, docs))
