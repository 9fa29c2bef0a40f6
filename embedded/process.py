"""How a command of ours ends: on a signal, with an exit code, or with a line that says why."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, NoReturn

import click


async def cancel_on_signal(work: Coroutine[Any, Any, object]) -> int | None:
    """Runs `work`, and cancels it on SIGINT, SIGTERM or SIGHUP; returns the signal, None if it ended by itself.

    Only the first signal counts: cleaning up is under way then, and a second Ctrl-C must not interrupt it.
    """
    task = asyncio.create_task(work)
    received: list[int] = []

    def cancel(signum: int) -> None:
        if not received:
            received.append(signum)
            task.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP: the command then outlives its terminal.
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signum, cancel, signum)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
        return received[0]
    return None


def exit_process(outcome: int | str) -> NoReturn:
    """Ends the process at once, with this exit code, or with this message on stderr and 1.

    While the interpreter finalizes, the Temporal SDK can abort the process (sdk-python#300).
    """
    if isinstance(outcome, str):
        echo_error(outcome)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(outcome if isinstance(outcome, int) else 1)


def echo(text: str) -> None:
    """Writes to stdout. That its reader has closed it is no reason to stop."""
    with suppress(OSError, ValueError):
        click.echo(text)


def echo_error(text: str) -> None:
    """Writes to stderr, as `echo` does to stdout."""
    with suppress(OSError, ValueError):
        click.echo(text, err=True)
