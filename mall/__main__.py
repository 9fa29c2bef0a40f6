"""`python -m mall`: the demo mall on 127.0.0.1."""

import logging
import sys

import uvicorn
from pydantic import ValidationError

from mall.app import create_app
from mall.config import Config


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = Config()
    except ValidationError as error:
        sys.exit(f"the mall's environment (MALL_…) is not usable: {error}")
    # Without log_config, uvicorn's lines take the format above; one line per request would say what the receiver says.
    # A slow mall's answers are not waited for when it stops.
    uvicorn.run(
        create_app(config),
        host="127.0.0.1",
        port=config.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
