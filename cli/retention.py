"""`groupbuy retention`: says what is old enough to be removed, and removes it. `groupbuy admin erase-user`."""

import secrets
from datetime import UTC, datetime, timedelta
from functools import partial

import click

from cli.admin import AUTHOR, open_database
from db.reconciliation.cursors import BEGIN
from db.retention.erasure import OrdersUnderWay
from db.retention.erasure import erase_user as erase
from db.retention.removal import SLICE, Removal, next_old_teams, preview, remove_teams
from domain.messages.acts import Act
from embedded.errors import StackError

LOOKED_AT_ONCE = 500
"""teams that are only counted"""


async def remove_old(database_url: str, days: int, *, applies: bool, archives: bool) -> Removal:
    """Removes, or archives, the teams that are older than so many days, with all their rows; or returns what it would remove.

    Raises:
        StackError: the database cannot be used; the message says why.
    """
    cutoff = datetime.now(UTC) - timedelta(days=days)
    removal, cursor = Removal(), BEGIN
    look = partial(remove_teams, archives=archives) if applies else preview
    async with open_database(database_url) as database:
        while True:
            old = await next_old_teams(database, cutoff, cursor, SLICE if applies else LOOKED_AT_ONCE)
            removal.add(await look(database, old.team_ids, cutoff))
            if old.cursor == BEGIN:
                return removal
            cursor = old.cursor


def show(removal: Removal, days: int, *, applied: bool, archived: bool) -> None:
    """Prints what was removed, or would be, and why teams are kept."""
    done = "archived" if archived else "removed"
    if not applied:
        done = f"would be {done} (--apply does it)"
    counts = f"{removal.teams} team(s), {removal.orders} order(s), {removal.events} event(s)"
    click.echo(f"older than {days} days: {counts} {done}")
    for reason, count in removal.kept.most_common():
        click.echo(f"  {count} team(s) kept: {reason}")


async def erase_user(database_url: str, source: str, user_id: str, reason: str) -> str:
    """Puts a pseudonym in a user's place; returns what was done.

    Raises:
        StackError: it cannot be done now; the message says why.
    """
    pseudonym = f"erased-{secrets.token_hex(8)}"
    act = Act(id=secrets.token_hex(12), author=AUTHOR, reason=reason)
    async with open_database(database_url) as database:
        try:
            outcome = await erase(database, source, user_id, pseudonym, act, datetime.now(UTC))
        except OrdersUnderWay as exc:
            raise StackError(f"nothing was erased: orders are under way, or in their refund window: {exc}") from None
    return f"{outcome.detail}: now {pseudonym}"
