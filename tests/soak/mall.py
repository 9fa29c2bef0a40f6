"""The mall of the soak: a process of its own, which can be killed and paused like any other part.

`python -m tests.soak.mall PORT FILE SECRET`. What it says to an event is in the address that the order was locked with, so that
a restart forgets nothing: `/yes`, `/veto`, and until a moment `/busy/<until>`, `/hang/<until>`, `/gone/<until>`.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from aiohttp import web
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from embedded.ports import HOST

QUESTION = "order.refund_requested"
VETO = {"code": "refund_rejected", "detail": "packed already"}
HANGS_FOR = 4.0
"""seconds: longer than the platform waits for an answer in a soak"""


class Mall:
    def __init__(self, file: Path, secret: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._webhook = Webhook(secret)
        self._clock_step = 0.0

    async def step_clock(self, request: web.Request) -> web.Response:
        """A restart sets it right."""
        self._clock_step = float((await request.json())["seconds"])
        return web.Response()

    async def receive(self, request: web.Request) -> web.Response:
        text = await request.text()
        is_signed = self._verify(text, request)
        body = json.loads(text)
        status = self._answer(request.path, body["type"]) if is_signed else 401
        record = {
            "at": time.time(),
            "event_id": request.headers.get("webhook-id", ""),
            "type": body["type"],
            "sequence": body["sequence"],
            "data": body["data"],
            "path": request.path,
            "is_signed": is_signed,
            "clock_step": self._clock_step,
            "answered": status,
        }
        # One write, which a kill cannot split, and before the answer: what the platform believes delivered is here.
        os.write(self._file, (json.dumps(record) + "\n").encode())
        if request.path.startswith("/hang/") and status != 200:
            await asyncio.sleep(HANGS_FOR)
        return web.json_response(VETO, status=status)

    def _answer(self, path: str, kind: str) -> int:
        _, mood, *rest = path.split("/")
        if rest and time.time() >= float(rest[0]):
            return 200
        return {"veto": 409 if kind == QUESTION else 200, "busy": 503, "hang": 503, "gone": 410}.get(mood, 200)

    def _verify(self, text: str, request: web.Request) -> bool:
        try:
            self._webhook.verify(text, dict(request.headers))
        except WebhookVerificationError:
            return False
        # The library reads the true clock and accepts five minutes; this mall's own clock may be wrong by more than that.
        return abs(self._clock_step) < 300


def main() -> None:
    port, file, secret = sys.argv[1:]
    mall = Mall(Path(file), secret)
    app = web.Application()
    app.router.add_post("/clock", mall.step_clock)
    app.router.add_get("/healthz", lambda _: _ok())
    app.router.add_post("/{path:.*}", mall.receive)
    # Longer than the platform keeps an idle connection, which would send a callback on one that is being closed here.
    web.run_app(app, host=HOST, port=int(port), print=None, keepalive_timeout=75, reuse_address=True, access_log=None)


async def _ok() -> web.Response:
    return web.Response()


if __name__ == "__main__":
    main()
