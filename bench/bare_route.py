"""The API with one more route that does nothing, which shows what FastAPI itself costs. `python -m bench.bare_route <port>`."""

import logging
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from settings import Settings


def create_app_with_bare_route() -> FastAPI:
    app = create_app()

    @app.post("/bare")
    async def bare(body: dict[str, Any]) -> dict[str, Any]:
        return {"goods_id": body["goods_id"], "pay_price": "80.00"}

    return app


def main() -> None:
    """Runs the API with the options of api/__main__.py."""
    logging.basicConfig(level=Settings().log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvicorn.run(
        "bench.bare_route:create_app_with_bare_route",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=8,
        timeout_keep_alive=75,
        server_header=False,
    )


if __name__ == "__main__":
    main()
