"""The routes of malls and of monitoring, a module per resource; `metrics` may have a port of its own."""

from api.routes import docs, events, health, market, orders, problems, quotes, refunds, teams

ROUTERS = tuple(module.router for module in (quotes, market, orders, refunds, teams, events, problems, health, docs))
