"""The credentials of a stack, generated once per data directory."""

import base64
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from db.settings.keys import new_key
from embedded.data_dir import write_private


@dataclass(frozen=True)
class DemoKeys:
    mall_key: str = field(repr=False)
    ops_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    console_secret: str = field(repr=False)
    """signs the sessions of the console"""


def demo_keys(path: Path) -> DemoKeys:
    """Returns the keys in this file; those that it lacks are generated and written."""
    stored = json.loads(path.read_text()) if path.exists() else {}
    keys = DemoKeys(**{**_new_keys(), **stored})
    if asdict(keys) != stored:
        write_private(path, json.dumps(asdict(keys)))
    return keys


def _new_keys() -> dict[str, str]:
    return {
        "mall_key": new_key(for_operations=False),
        "ops_key": new_key(for_operations=True),
        "webhook_secret": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "console_secret": secrets.token_urlsafe(32),
    }
