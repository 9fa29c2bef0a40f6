"""Administration without the API: the first key that may do everything has nobody else to make it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
from pydantic import ValidationError

from api.runtime.api_keys import new_key
from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.settings.keys import create_key
from domain.errors import Refusal
from domain.schemas.keys import NewKey
from domain.scopes import Scope
from domain.types import validation_message
from embedded.errors import StackError


async def make_key(database_url: str, name: str, source: str | None, scopes: Sequence[str]) -> str:
    """A new key, which the database admits from now on; without scopes it may do everything.

    Raises:
        StackError: it cannot be made; the message says why.
    """
    everything = [Scope.ADMIN if source is None else Scope.TRADE]
    try:
        new = NewKey(name=name, source=source, scopes=[Scope(scope) for scope in scopes] or everything)
    except ValidationError as mistake:
        raise StackError("; ".join(validation_message(error["msg"]) for error in mistake.errors())) from None
    key = new_key(source)
    try:
        database = Database(database_url, size=1)
        try:
            await create_key(database, key, new, by="the command line", now=datetime.now(UTC))
        finally:
            await database.close()
    except Refusal as refusal:
        raise StackError(refusal.detail) from None
    except asyncpg.UndefinedTableError:
        raise StackError("the database has no tables yet: python -m db.core.migrate") from None
    except (*INFRASTRUCTURE_FAILURES, asyncpg.PostgresError, ValueError) as failure:
        raise StackError(f"the database cannot be used: {failure}") from None
    return key
