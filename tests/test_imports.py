"""The import rules of every package: the contracts in pyproject.toml, and what they cannot say of single modules."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = {Path(name).stem for name in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]}
MODULES = {"garbage", "logs", "settings", "tracing", "worker"}
"""The linter reads packages only."""


def imported(path: Path) -> set[str]:
    """Returns the top-level names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_no_package_imports_what_its_contract_forbids() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_shipped_package_has_a_contract() -> None:
    rules = PROJECT["tool"]["importlinter"]
    assert {*rules["root_packages"]} == SHIPPED - MODULES
    assert {*rules["root_packages"]} <= {source for rule in rules["contracts"] for source in rule.get("source_modules", ())}


@pytest.mark.parametrize("name", ["garbage", "logs", "settings", "tracing"])
def test_what_every_process_needs_first_imports_nothing_of_ours(name: str) -> None:
    assert imported(ROOT / f"{name}.py") & (SHIPPED | {"tests"}) == set()


def test_domain_depends_on_nothing_but_its_validation_and_url_libraries() -> None:
    used = set().union(*(imported(path) for path in (ROOT / "domain").rglob("*.py")))
    assert used - sys.stdlib_module_names == {"domain", "pydantic", "yarl"}


def test_no_module_imports_a_private_name() -> None:
    files = [path for name in SHIPPED for path in ([ROOT / f"{name}.py"] if name in MODULES else (ROOT / name).rglob("*.py"))]
    private = [
        f"{path.relative_to(ROOT)}: {alias.name}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert private == []
