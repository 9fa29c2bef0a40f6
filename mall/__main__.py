"""`python -m mall`: the demo mall on 127.0.0.1."""

import logging
import socket
import sys
from contextlib import suppress

import uvicorn
from pydantic import ValidationError

from mall.app import create_app
from mall.config import Config
from mall.switches import NewSwitches, Switches


class Server(uvicorn.Server):
    """When it stops, a slow mall's answers are not waited for."""

    def __init__(self, config: uvicorn.Config, switches: Switches) -> None:
        super().__init__(config)
        self._switches = switches

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._switches.set(NewSwitches())
        await super().shutdown(sockets)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = Config()
    except ValidationError as error:
        sys.exit(f"the mall's environment (MALL_…) is not usable: {error}")
    switches = Switches()
    served = uvicorn.Config(
        create_app(config, switches),
        host="127.0.0.1",
        port=config.port,
        # Without it, uvicorn's lines take the format above; one line per request would say what the receiver says.
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
        # Longer than the platform keeps an idle connection: else it sends a callback on one that is just closed here.
        timeout_keep_alive=75,
    )
    with suppress(KeyboardInterrupt):
        Server(served, switches).run()


if __name__ == "__main__":
    main()
