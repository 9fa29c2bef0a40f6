"""What README and docs name exists: links, paths, modules, settings, tables, codes."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.core.schema import metadata
from domain.errors import ErrorCode
from domain.schemas.campaigns import CampaignFields
from domain.schemas.events import EventType
from settings import Settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
PACKAGES = "activities|api|bench|cli|console|db|deploy|docs|domain|embedded|mall|tests|workers|workflows"

LINK = re.compile(r"\]\(([^)\s]+)\)")
REPOSITORY_PATH = re.compile(rf"(?<![\w/.-])(?:(?:{PACKAGES})/[\w./-]*|\w+\.py)(?![\w*<])")
MODULE = re.compile(rf"(?:\bfrom|-m) ((?:{PACKAGES}|settings|worker)(?:\.\w+)*)\b")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
UNPUBLISHED_PAGE = re.compile(r"\b(?:design|house|admission|original)\.md\b")
CODE = {".py", ".sql", ".md", ".toml", ".js", ".css", ".mako", ".json", ""}


def _is_tracked(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return path.is_file() and path.suffix in CODE and not any(part.startswith(".") or part == "__pycache__" for part in parts)


def _anchors(page: Path) -> set[str]:
    """The fragments that a heading of a page is linked by."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(page.read_text())}


def _links(page: Path) -> Iterator[str]:
    return (target for target in LINK.findall(page.read_text()) if "://" not in target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in _links(page):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in _anchors(linked)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_and_module_exists(page: Path) -> None:
    text = page.read_text()
    paths = {path.rstrip(".") for path in REPOSITORY_PATH.findall(text)}
    modules = {module.replace(".", "/") for module in MODULE.findall(text)}
    missing = {path for path in paths if not (ROOT / path).exists()}
    missing |= {path for path in modules if not (ROOT / path).is_dir() and not (ROOT / f"{path}.py").exists()}
    assert not missing


def test_every_page_is_linked() -> None:
    linked = {(page.parent / target.partition("#")[0]).resolve() for page in PAGES for target in _links(page)}
    assert set(PAGES) - linked <= {ROOT / "README.md"}


def test_nothing_cites_a_page_outside_the_repository() -> None:
    files = [path for path in ROOT.rglob("*") if _is_tracked(path)]
    assert not [str(path) for path in files if UNPUBLISHED_PAGE.search(path.read_text(errors="replace"))]


def test_every_setting_is_documented() -> None:
    read_by_the_api_process = set(re.findall(r"GROUPBUY_[A-Z_]*[A-Z]", (ROOT / "api/__main__.py").read_text()))
    settings = {f"GROUPBUY_{name.upper()}" for name in Settings.model_fields} | read_by_the_api_process
    documented = re.findall(r"GROUPBUY_[A-Z_]*[A-Z]", (DOCS / "operations.md").read_text())
    assert set(documented) == settings


def test_every_table_is_in_the_diagram() -> None:
    diagram = (DOCS / "architecture.md").read_text().partition("erDiagram")[2].partition("```")[0]
    relations = re.findall(r"^ +(\w+) [|}o]+--[|{o]+ (\w+) :", diagram, re.MULTILINE)
    entities = re.findall(r"^ +(\w+) \{$", diagram, re.MULTILINE)
    assert {name for pair in relations for name in pair} | set(entities) == set(metadata.tables)


def test_every_column_in_the_diagram_exists() -> None:
    diagram = (DOCS / "architecture.md").read_text().partition("erDiagram")[2].partition("```")[0]
    for table, columns in re.findall(r"^ +(\w+) \{\n(.*?)^ +\}$", diagram, re.MULTILINE | re.DOTALL):
        drawn = {line.split()[1] for line in columns.splitlines()}
        assert drawn <= set(metadata.tables[table].columns.keys()), table


def test_every_error_code_is_documented() -> None:
    codes = re.findall(r"^\| (`.+?`) \| \d", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert {code for row in codes for code in re.findall(r"`(\w+)`", row)} == set(ErrorCode)


def test_every_campaign_field_and_event_type_is_documented() -> None:
    campaigns, callbacks = (DOCS / "campaigns.md").read_text(), (DOCS / "callbacks.md").read_text()
    assert not [name for name in CampaignFields.model_fields if f"`{name}`" not in campaigns]
    assert not [name for name in EventType if f"| `{name}` |" not in callbacks]


def test_make_help_shows_every_target() -> None:
    command = ["make", "--silent", "help"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    targets = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    assert re.findall(r"^  make ([a-z-]+)\t", listed, re.MULTILINE) == targets
