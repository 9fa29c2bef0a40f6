"""Migrates a database to this version's schema: what `groupbuy migrate` and `groupbuy up` do first."""

from functools import partial
from pathlib import Path

import alembic.command
import asyncpg
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from db.core.connection import asyncpg_url

MIGRATIONS = Path(__file__).parents[1] / "migrations"


class UnknownSchema(Exception):
    """The database was migrated by a version of groupbuy whose revision this version does not have."""


def engine_of(database_url: str) -> AsyncEngine:
    """Returns what SQLAlchemy connects by; asyncpg reads the URL itself, which may name several hosts."""
    connect = partial(asyncpg.connect, asyncpg_url(database_url))
    return create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=pool.NullPool)


def upgrade(database_url: str) -> None:
    """Applies missing migrations and replaces the SQL functions. Safe to repeat and to run from several processes at once.

    Raises:
        UnknownSchema: nothing was changed.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine_of(database_url)
    try:
        alembic.command.upgrade(config, "head")
    except CommandError as error:
        raise UnknownSchema(
            f"the database has the schema of another version of groupbuy ({error}): use that version, or an empty database"
        ) from error
