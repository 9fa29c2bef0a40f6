"""What the pages load is as its makers published it, with its licence."""

import hashlib
from pathlib import Path

import console

STATIC = Path(console.__file__).parent / "static"


def test_assets_are_as_they_were_published() -> None:
    files = sorted(STATIC.glob("*/*"))
    found = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(STATIC)}" for file in files]
    assert found == (STATIC / "SHA256SUMS").read_text().splitlines()
    assert all((file.parent / "LICENSE").is_file() for file in files)
