"""Migrates a database to this version's schema: `python -m db.core.migrate`, with GROUPBUY_DATABASE_URL set."""

import os
import sys
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


if __name__ == "__main__":
    if "GROUPBUY_DATABASE_URL" not in os.environ:
        sys.exit("db.core.migrate: set GROUPBUY_DATABASE_URL, e.g. postgresql://postgres@127.0.0.1:5432/groupbuy")
    try:
        upgrade(os.environ["GROUPBUY_DATABASE_URL"])
    except UnknownSchema as error:
        sys.exit(f"db.core.migrate: {error}")
