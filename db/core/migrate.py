"""Migrates a database to this version's schema: what `groupbuy migrate` and `groupbuy up` do first."""

from pathlib import Path

import alembic.command
from alembic.config import Config
from alembic.util import CommandError

from db.core.connection import sqlalchemy_url

MIGRATIONS = Path(__file__).parents[1] / "migrations"


class UnknownSchema(Exception):
    """The database was migrated by a version of groupbuy whose revision this version does not have."""


def upgrade(database_url: str) -> None:
    """Applies missing migrations and replaces the SQL functions. Safe to repeat and to run from several processes at once.

    Raises:
        UnknownSchema: nothing was changed.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = sqlalchemy_url(database_url)
    try:
        alembic.command.upgrade(config, "head")
    except CommandError as error:
        raise UnknownSchema(
            f"the database has the schema of another version of groupbuy ({error}): use that version, or an empty database"
        ) from error
