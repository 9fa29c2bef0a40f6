"""The mall's page: server-rendered, nothing loaded from elsewhere, so it works without a network."""

from html import escape
from urllib.parse import quote

from mall.store import Callback, Order

REFRESH_SECONDS = 3

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p, .soft { color: var(--soft); margin: .2rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
td { white-space: nowrap; } td.data { white-space: normal; overflow-wrap: anywhere; }
code { font: .85rem ui-monospace, monospace; }
.todo { border-radius: .7rem; padding: .05rem .6rem; font-size: .85rem; font-weight: 600; background: #8883; }
.ship { background: #2a93; } .money-back { background: #d733; }
"""


def page(callbacks: list[Callback], orders: list[Order], team_id: str | None, api_url: str) -> str:
    scope = "every team" if team_id is None else f'team <code>{escape(team_id)}</code> · <a href="/">every team</a>'
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_SECONDS}">
<title>Demo mall</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Demo mall</h1>
<p>What the platform at <a href="{escape(api_url)}">{escape(api_url)}</a> has told this mall.
Shown: {scope}.</p>
<h2>Orders: what to do</h2>
{_orders(orders)}
<h2>Callbacks as received</h2>
{_callbacks(callbacks)}
</body>
</html>
"""


def _orders(orders: list[Order]) -> str:
    if not orders:
        return "<p>None yet. An order appears when a callback says what to do with it.</p>"
    rows = [
        f"<tr><td><code>{escape(order.out_trade_no)}</code></td>"
        f'<td><span class="todo {order.to_do.replace(" ", "-")}">{order.to_do}</span></td>'
        f"<td>{escape(order.type)} #{order.sequence}</td>"
        f"<td>{_team(order.team_id)}</td></tr>"
        for order in orders
    ]
    return _table(("out_trade_no", "to do", "says", "team"), rows)


def _callbacks(callbacks: list[Callback]) -> str:
    if not callbacks:
        return "<p>None yet. This page renews itself.</p>"
    rows = [
        f"<tr><td>{callback.sequence}</td>"
        f"<td>{escape(callback.type)}</td>"
        f"<td>{callback.received_at:%Y-%m-%d %H:%M:%S}</td>"
        f"<td>{callback.times_received}×</td>"
        f"<td>{_team(callback.data.team_id)}</td>"
        f'<td class="data"><code>{escape(callback.data.model_dump_json(exclude_unset=True))}</code></td></tr>'
        for callback in callbacks
    ]
    return _table(("sequence", "type", "received (UTC)", "times", "team", "data"), rows)


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _team(team_id: str | None) -> str:
    if team_id is None:
        return '<span class="soft">–</span>'
    return f'<a href="/?team_id={quote(team_id, safe="")}"><code>{escape(team_id)}</code></a>'
