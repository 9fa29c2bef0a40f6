"""Ends a process that has used the Temporal SDK."""

import os
import sys
from contextlib import suppress
from typing import NoReturn

import click


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


def echo_error(text: str) -> None:
    """Writes a line to stderr, whose reader may be gone."""
    with suppress(OSError, ValueError):
        click.echo(text, err=True)
