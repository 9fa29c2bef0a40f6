"""Brings a database to this version's schema: `python -m db.core.migrate`, with GROUPBUY_DATABASE_URL set."""

import os
import sys
from pathlib import Path

import alembic.command
from alembic.config import Config

from db.core.connection import sqlalchemy_url

HERE = Path(__file__).parent.parent


def migrations(database_url: str) -> Config:
    made = Config()
    made.set_main_option("script_location", str(HERE / "migrations"))
    made.attributes["database_url"] = sqlalchemy_url(database_url)
    return made


def upgrade(database_url: str) -> None:
    """Applies what is missing. Safe to repeat, and to run from several processes at once."""
    made = migrations(database_url)
    made.attributes["upgrading"] = True
    alembic.command.upgrade(made, "head")


if __name__ == "__main__":
    if "GROUPBUY_DATABASE_URL" not in os.environ:
        sys.exit("db.core.migrate: set GROUPBUY_DATABASE_URL, e.g. postgresql://postgres@127.0.0.1:5432/groupbuy")
    upgrade(os.environ["GROUPBUY_DATABASE_URL"])
