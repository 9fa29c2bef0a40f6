"""The built wheel in an environment of its own.

Where the tests run as root, its processes run as a user without rights, on a file system that they cannot write to but a
temporary folder: as deploy/compose and the chart run them.
"""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.files import ROOT

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
INHERITED = ("LANG", "LC_ALL", "TZ")
READ_ONLY = 'mount --make-rprivate / && mount -o remount,bind,ro / && mount -t tmpfs -o mode=1777 tmpfs "$TMPDIR" && exec "$@"'
"""what a process runs first, in mounts of its own"""


def build_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def unprivileged_python() -> str | None:
    """Returns a Python that any user may run; None where there is none, or where the tests have no rights themselves."""
    if os.getuid() != 0:
        return None
    return shutil.which(PYTHON, path="/usr/local/bin:/usr/bin:/bin")


@dataclass
class Environment:
    """A virtual environment with the wheel; what it depends on is that of the tests, without the checkout."""

    folder: Path
    python: str
    without_rights: list[str]
    """what begins its commands: takes rights away from them, where the tests have any"""

    @classmethod
    def create(cls, folder: Path) -> "Environment":
        python = unprivileged_python()
        made = cls(folder, python or sys.executable, [])
        made._fill()
        if python:
            nobody = pwd.getpwnam("nobody")
            user = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
            read_only = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"]
            works = subprocess.run([*read_only, "true"], env=made.variables, capture_output=True, check=False).returncode == 0
            made.without_rights = [*read_only, *user] if works else user
        return made

    @property
    def variables(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return {**inherited, "TMPDIR": str(self.folder / "tmp"), "TEMPORAL_CONFIG_FILE": os.devnull}

    def _fill(self) -> None:
        self.folder.chmod(0o755)
        venv = self.folder / "venv"
        subprocess.run([self.python, "-m", "venv", "--without-pip", str(venv)], check=True, capture_output=True)
        pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "--disable-pip-version-check"]
        wheel = build_wheel(self.folder)
        subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], check=True)
        # Only the path: the editable install of the checkout, which is in another .pth there, is not found.
        [packages] = venv.glob("lib/python3*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
        (self.folder / "closed").mkdir(mode=0o555)
        (self.folder / "tmp").mkdir()
        (self.folder / "tmp").chmod(0o1777)

    async def start(self, command: Sequence[str], **settings: str) -> asyncio.subprocess.Process:
        """Starts a command of compose.yaml or of the documentation."""
        return await asyncio.create_subprocess_exec(
            *self.without_rights,
            str(self.folder / "venv" / "bin" / command[0]),
            *command[1:],
            cwd=self.folder / "closed",
            env={**self.variables, **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, command: Sequence[str], **settings: str) -> tuple[int, str, str]:
        """Returns the exit code, stdout and stderr."""
        process = await self.start(command, **settings)
        stdout, stderr = await process.communicate()
        assert process.returncode is not None
        return process.returncode, stdout.decode(), stderr.decode()
