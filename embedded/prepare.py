"""`python -m embedded.prepare <mall url> <keys file>`: migrations and demo data.

A process of its own, because migrations block and cannot be cancelled: the supervisor can stop it on Ctrl-C.
"""

import asyncio
import os
import sys
from pathlib import Path

from db.core.migrate import UnknownSchema, upgrade
from embedded.demo_data import seed
from embedded.keys import demo_keys


def main() -> None:
    mall_url, keys_file = sys.argv[1:]
    database_url = os.environ["GROUPBUY_DATABASE_URL"]
    try:
        upgrade(database_url)
    except UnknownSchema as error:
        sys.exit(str(error))
    asyncio.run(seed(database_url, mall_url, demo_keys(Path(keys_file))))


if __name__ == "__main__":
    main()
