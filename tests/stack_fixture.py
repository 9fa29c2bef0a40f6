"""The real stack for end-to-end tests: every part on free ports, its state in a folder that goes with it."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from embedded.plan import Options
from embedded.stack import Stack

ADDRESSES_OF_OTHERS = ("GROUPBUY_", "TEMPORAL_", "PG")


@asynccontextmanager
async def running_stack(*, workers: int = 1, **settings: str) -> AsyncIterator[Stack]:
    """Ready inside; outside, nothing of it is left."""
    with data_dir() as folder, environment(**settings):
        async with Stack(Options(data_dir=folder, workers=workers)) as stack:
            yield stack


@contextmanager
def data_dir() -> Iterator[Path]:
    # Not below pytest's tmp_path: that one is closed to others, and as root PostgreSQL runs as another user.
    made = Path(tempfile.mkdtemp(prefix="groupbuy-test-")).resolve()
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def environment(**settings: str) -> Iterator[None]:
    """These settings alone: what the environment of the tests names would replace or change what is to be tested."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(ADDRESSES_OF_OTHERS)}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings:
            os.environ.pop(name, None)
        os.environ.update(taken)
