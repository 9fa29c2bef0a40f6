"""Brings a database to this version's schema."""

from pathlib import Path

import alembic.command
from alembic.config import Config
from sqlalchemy import make_url

HERE = Path(__file__).parent


def migrations(database_url: str) -> Config:
    made = Config()
    made.set_main_option("script_location", str(HERE / "migrations"))
    made.attributes["database_url"] = make_url(database_url).set(drivername="postgresql+asyncpg")
    return made


def upgrade(database_url: str) -> None:
    """Applies what is missing. Safe to repeat, and to run from several processes at once."""
    made = migrations(database_url)
    made.attributes["upgrading"] = True
    alembic.command.upgrade(made, "head")
