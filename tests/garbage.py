"""What is left to the garbage collector, which may run in any thread."""

import asyncio
import gc
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def collected_without_a_loop() -> AsyncIterator[None]:
    """Has a thread without an event loop collect the reference cycles that the block leaves; no finalizer may fail there."""
    failures: list[str] = []

    def note(unraisable: "sys.UnraisableHookArgs") -> None:
        failures.append(repr(unraisable.exc_value))

    gc.collect()  # what others left
    gc.disable()
    hook = sys.unraisablehook
    try:
        yield
        sys.unraisablehook = note
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await asyncio.to_thread(gc.collect)
    finally:
        sys.unraisablehook = hook
        gc.enable()
    assert not failures, failures
