"""`python -m embedded.prepare <mall url> <keys file>`: migrations and demo data.

A process of its own, because migrations block and cannot be cancelled: the supervisor can stop it on Ctrl-C.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from db.core.connection import Database, connection
from db.core.migrate import UnknownSchema, upgrade
from db.settings.installation import read_revision, record_upgrade
from embedded.author import AUTHOR
from embedded.demo_data import seed
from embedded.keys import DemoKeys, demo_keys


def main() -> None:
    mall_url, keys_file = sys.argv[1:]
    database_url = os.environ["GROUPBUY_DATABASE_URL"]
    before = asyncio.run(_revision(database_url))
    try:
        upgrade(database_url)
    except UnknownSchema as error:
        sys.exit(str(error))
    asyncio.run(_write(database_url, before, mall_url, demo_keys(Path(keys_file))))


async def _revision(database_url: str) -> str | None:
    database = Database(database_url, size=1)
    try:
        async with connection(database) as conn:
            return await read_revision(conn)
    finally:
        await database.close()


async def _write(database_url: str, before: str | None, mall_url: str, keys: DemoKeys) -> None:
    database = Database(database_url, size=1)
    try:
        await record_upgrade(database, before, by=AUTHOR, now=datetime.now(UTC))
        await seed(database, mall_url, keys)
    finally:
        await database.close()


if __name__ == "__main__":
    main()
