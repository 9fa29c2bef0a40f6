"""The API process: `python -m api`."""

import logging
import os
import sys

import uvicorn
from pydantic import ValidationError

from domain.types import validation_message
from settings import Settings


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as exc:
        for error in exc.errors():
            print(f"api: GROUPBUY_{str(error['loc'][0]).upper()}: {validation_message(error['msg'])}", file=sys.stderr)  # noqa: T201
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=os.environ.get("GROUPBUY_API_HOST", "127.0.0.1"),
        port=int(os.environ.get("GROUPBUY_API_PORT", "8000")),
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=3,
        # Longer than clients keep idle connections, because a request sent while the server closes one would be lost.
        timeout_keep_alive=75,
        server_header=False,
        # The legacy format's allow-list needs the address of the TCP peer (api/legacy/ip_allowlist.py).
        proxy_headers=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
