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
    """Its shutdown ends the delay of a slow mall's answers."""

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
        sys.exit(f"the mall's environment (MALL_…) is invalid: {error}")
    switches = Switches()
    server_config = uvicorn.Config(
        create_app(config, switches),
        host="127.0.0.1",
        port=config.port,
        # None: uvicorn logs in the format above. No access log: the receiver logs each callback.
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
        # Longer than the platform keeps an idle connection, which would send a callback on one that is being closed here.
        timeout_keep_alive=75,
    )
    with suppress(KeyboardInterrupt):
        Server(server_config, switches).run()


if __name__ == "__main__":
    main()
