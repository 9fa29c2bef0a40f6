"""Alembic's entry point: runs the migrations on an asyncpg connection, one process at a time."""

import asyncio
from pathlib import Path

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from db.core.schema import metadata

FUNCTIONS = Path(__file__).parents[1] / "functions"
MIGRATION_LOCK = 7_242_001


def migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.run_migrations()
        # Replaced in every run: functions belong to the code's version, not to a revision of the schema.
        for function in sorted(FUNCTIONS.glob("*.sql")):
            connection.exec_driver_sql(function.read_text())


async def connect_and_migrate() -> None:
    engine: AsyncEngine = context.config.attributes["engine"]
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(connect_and_migrate())
