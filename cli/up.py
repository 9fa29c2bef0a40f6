"""`groupbuy up`: runs a stack until a signal stops it."""

import asyncio
import sys
import time
from pathlib import Path

from embedded.addresses import Addresses
from embedded.data_dir import DEFAULT_DATA_DIR
from embedded.external_database import without_password
from embedded.plan import Options
from embedded.process import cancel_on_signal, echo, echo_error
from embedded.stack import Stack


async def run(options: Options, *, as_json: bool) -> int:
    """Starts the stack, prints its addresses, and stops it on a signal; returns the exit code."""
    began = time.monotonic()
    ready = False

    async def serve() -> None:
        nonlocal ready
        async with Stack(options, echo_error) as stack:
            ready = True
            addresses = stack.addresses
            if as_json:
                echo(addresses.to_json())
            else:
                # The password of the embedded database is one of the keys; another one's is not ours to show.
                database = without_password(options.database_url) if options.database_url else addresses.database_url
                echo(_summary(addresses, database, time.monotonic() - began))
            try:
                await asyncio.Event().wait()
            finally:
                echo_error("stopping")

    signum = await cancel_on_signal(serve())
    echo_error("stopped")
    return 0 if ready else 128 + (signum or 0)


def _summary(addresses: Addresses, database: str, seconds: float) -> str:
    a = addresses
    quote = '{"goods_id": "9890001", "channel": "c01", "user_id": "u1"}'
    demo = "make demo" if Path(a.data_dir) == DEFAULT_DATA_DIR.resolve() else f"{sys.argv[0]} demo --data-dir {a.data_dir}"
    return f"""
groupbuy is ready, {seconds:.1f} s

  API             {a.api_url}  (documentation: {a.api_url}/docs)
  console         {a.console_url}  (sign in with the operations key)
  legacy format   {a.legacy_url}/api/v1/gbm
  demo mall       {a.mall_url}
  Temporal UI     {a.temporal_ui_url or "-"}
  Temporal        {a.temporal_address}
  PostgreSQL      {database}
  data and logs   {a.data_dir}

  mall key        {a.mall_key}
  operations key  {a.ops_key}
  webhook secret  {a.webhook_secret}

Request a quote:
  curl -s {a.api_url}/v1/quotes -H 'Authorization: Bearer {a.mall_key}' \\
    -H 'Content-Type: application/json' -d '{quote}'
Play a whole team, in another terminal:
  {demo}
Ctrl-C stops everything; all state is kept.
"""
