"""Where a stack is: what `groupbuy up --json` prints, and what the data directory of a running stack holds."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from embedded.data_dir import DataDir


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The contract of `groupbuy up --json`: these names, in one line."""

    api_url: str
    legacy_url: str
    console_url: str
    temporal_address: str
    temporal_ui_url: str | None
    mall_url: str
    database_url: str
    mall_key: str
    ops_key: str
    webhook_secret: str
    data_dir: str
    worker_pids: list[int]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def running_stack(data_dir: Path) -> Addresses | None:
    """Returns the addresses of the stack that runs on this data directory, None unless one runs and is ready."""
    directory = DataDir(data_dir)
    # The file alone may be of a stack that was killed.
    if not directory.in_use():
        return None
    try:
        return Addresses(**json.loads(directory.addresses.read_text()))
    except FileNotFoundError:
        return None
