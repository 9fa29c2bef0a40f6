"""Processes that stand still: they are there, hold their connections and locks, and answer nobody."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

from embedded.supervisor import Keeper


def processes_of(part: Keeper) -> list[psutil.Process]:
    """The part's own first."""
    if part.pid is None:
        return []
    try:
        parent = psutil.Process(part.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Signals those that are still there."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


@contextmanager
def paused(processes: Iterable[psutil.Process]) -> Iterator[None]:
    """Inside, these stand still."""
    chosen = list(processes)
    send(chosen, signal.SIGSTOP)
    try:
        yield
    finally:
        send(chosen, signal.SIGCONT)
