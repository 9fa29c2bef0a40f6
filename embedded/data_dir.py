"""The data directory: its files, the version that wrote it, and the lock that admits one stack at a time."""

import fcntl
import json
import os
from pathlib import Path
from typing import IO

from embedded.errors import StackError

FORMAT = 8
"""raised when what an earlier version has written cannot be used any more; migrations do not raise it"""
DEFAULT_DATA_DIR = Path(".groupbuy")


def write_private(path: Path, text: str) -> None:
    """Replaces the file atomically, readable by its owner alone: these files hold keys and passwords."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


class DataDir:
    """Locked from `open` to `close`. The kernel releases the lock when the process dies, whatever kills it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.logs = self.path / "logs"
        self.postgres = self.path / "postgres"
        self.addresses = self.path / "stack.json"
        self.pids = self.path / "pids.json"
        self.keys = self.path / "keys.json"
        self.postgres_password = self.path / "postgres.password"
        self._lock_file = self.path / "lock"
        self._lock: IO[str] | None = None

    def open(self, postgres_version: int | None) -> None:
        """Creates and locks the directory for this major version of PostgreSQL; None: PostgreSQL runs elsewhere.

        Raises:
            StackError: it cannot be used, is in use, holds other files, or was written by another version.
        """
        self._make()
        self._take_lock()
        try:
            self._check_version(postgres_version)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def in_use(self) -> bool:
        """Returns whether a stack runs on it now."""
        try:
            with self._lock_file.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _make(self) -> None:
        try:
            # Others may traverse but not list it: started by root, PostgreSQL runs as another user, below this directory.
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            foreign = [entry.name for entry in self.path.iterdir() if entry != self._lock_file]
        except OSError as error:
            raise StackError(f"data directory {self.path}: {error.strerror}; choose another with --data-dir") from None
        if foreign and not self._version_file.exists():
            raise StackError(
                f"{self.path} is not a data directory of groupbuy (it has {min(foreign)} but no version file): "
                "choose an empty or new one with --data-dir"
            )

    def _take_lock(self) -> None:
        lock = self._lock_file.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "?"
            lock.close()
            raise StackError(
                f"{self.path} is in use by the stack of process {owner}: stop that one, or choose another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    @property
    def _version_file(self) -> Path:
        return self.path / "version"

    def _check_version(self, postgres_version: int | None) -> None:
        current = {"format": FORMAT} | ({"postgresql": postgres_version} if postgres_version else {})
        text = self._version_file.read_text() if self._version_file.exists() else "{}"
        try:
            written = dict(json.loads(text))
        except (ValueError, TypeError):
            written = {"format": text.strip()}
        if any(written.get(name, version) != version for name, version in current.items()):
            raise StackError(
                f"{self.path} was written by another version of groupbuy "
                f"({_describe(written)}; this one: {_describe(current)}): "
                "start that version, or move the directory away to begin afresh"
            )
        write_private(self._version_file, json.dumps(written | current))


def _describe(versions: dict[str, int]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
