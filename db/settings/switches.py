"""Switches: a row each, from the first time an operator sets it."""

import json
from datetime import datetime
from typing import Any

from db.core.connection import Database, Row, connection, fetch_one, transaction
from db.settings.audit import FormAct, hold_subject, is_repeat, record_change
from domain.messages.acts import Author
from domain.schemas.switches import Switch
from domain.switches import Switches

READ_SWITCHES = "SELECT name, value, version, changed_by, changed_at FROM switches"


async def list_switches(database: Database) -> list[Switch]:
    """Returns every switch; one that was never set has its default and version 0."""
    async with connection(database) as conn:
        rows = {row["name"]: row for row in await conn.fetch(READ_SWITCHES)}
    values = Switches().model_dump(mode="json")
    return [
        _switch(rows[name])
        if name in rows
        else Switch(name=name, value=values[name], version=0, changed_by=None, changed_at=None)
        for name in Switches.model_fields
    ]


async def read_switches(database: Database) -> Switches:
    """Returns the values in force."""
    return Switches.model_validate({switch.name: switch.value for switch in await list_switches(database)})


SET_SWITCH = """
INSERT INTO switches AS s (name, value, version, changed_by, changed_at) VALUES ($1, $2, 1, $3, $4)
ON CONFLICT (name) DO UPDATE SET (value, version, changed_by, changed_at) = ($2, s.version + 1, $3, $4)
RETURNING name, value, version, changed_by, changed_at
"""


async def set_switch(
    database: Database, name: str, switches: Switches, *, by: Author, now: datetime, form: FormAct | None = None
) -> Switch:
    """Sets the named switch to its value in `switches`. The same form again changes nothing.

    Raises:
        ChangedSinceError: the switch is not as it was when the form was shown.
    """
    value: Any = switches.model_dump(mode="json")[name]
    async with transaction(database) as conn:
        await hold_subject(conn, f"switch/{name}")
        if await is_repeat(conn, f"switch/{name}", form):
            return _switch(await fetch_one(conn, f"{READ_SWITCHES} WHERE name = $1", name))
        switch = _switch(await fetch_one(conn, SET_SWITCH, name, json.dumps(value), by.operator, now))
        await record_change(conn, f"switch/{name}", switch, by=by, now=now, form=form)
    return switch


def _switch(row: Row) -> Switch:
    return Switch(**{**row, "value": json.loads(row["value"])})
