"""A PostgreSQL that runs elsewhere: whether it answers, and whether the stack may write to it."""

import re

import asyncpg

from db.settings.installation import was_created_by
from embedded.author import AUTHOR
from embedded.errors import StackError


async def check_database(url: str, *, may_be_foreign: bool) -> str:
    """Returns the version of the server.

    Raises:
        StackError: it cannot be reached; or its tables were not made by a stack, unless it `may_be_foreign`.
    """
    try:
        conn = await asyncpg.connect(url, timeout=5)
        try:
            is_own = may_be_foreign or await was_created_by(conn, AUTHOR)
            version = str(await conn.fetchval("SHOW server_version"))
        finally:
            await conn.close()
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) or "no answer within 5 s"
        raise StackError(f"no database at GROUPBUY_DATABASE_URL ({without_password(url)}): {reason}") from None
    if not is_own:
        raise StackError(
            f"the database at GROUPBUY_DATABASE_URL ({without_password(url)}) was not made by groupbuy up, which would migrate "
            "it and write a demo mall, campaigns and keys: unset GROUPBUY_DATABASE_URL, or confirm with --use-external-database"
        )
    return version


def without_password(url: str) -> str:
    return re.sub(r"(://[^:/@]*):.*@", r"\1:…@", url)
