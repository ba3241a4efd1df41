"""What the README and the pages beside it promise is there, in both languages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from shop_order.cmd.cli.root import app
from shop_order.configs import ConfigError, tree
from shop_order.configs.engines import check_scheme
from tests.baseline import settings_pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("decisions/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)|<img src=\"([^\"]+)\"")
MAX_README_LINES = 150


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(params=["", ".zh-CN"], ids=["en", "zh-CN"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("language", settings_pages.PAGES)
def test_the_settings_page_is_up_to_date(language: str) -> None:
    written = settings_pages.PAGES[language].read_text("utf-8")
    assert written == settings_pages.page(language), "run `make docs`"


def test_every_setting_has_its_meaning_and_nothing_else_has() -> None:
    assert set(settings_pages.texts()) == {tree.key_of(path) for path in tree.leaves()}


def test_the_commands_are_those_there_are(language: str) -> None:
    text = (ROOT / f"docs/operation{language}.md").read_text("utf-8")
    group: Any = typer.main.get_command(app)
    assert set(re.findall(r"^\| `shop-order (\w+)", text, re.MULTILINE)) == set(group.commands)


def test_engines_are_built_or_refused_as_told(language: str) -> None:
    text = (ROOT / f"docs/engines{language}.md").read_text("utf-8")
    rows = re.findall(r"^\| `([A-Z]+)__URL` \| (`\w+:`.*) \|$", text, re.MULTILINE)
    assert {room for room, _ in rows} == {"DB", "CACHE", "MESSAGE", "OPLOG", "REGISTRY", "CONFIG", "TRACE"}
    for room, built in rows:
        for scheme in re.findall(r"`([\w+]+):`", built):
            assert check_scheme(room.lower(), f"{scheme}://x") == scheme
        with pytest.raises(ConfigError, match="does not support"):
            check_scheme(room.lower(), "kafka://x")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [one or other for one, other in LINK.findall(page.read_text("utf-8"))]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_make_targets_are_those_there_are(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named_targets = set(re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z-]+)\b", page.read_text("utf-8")))
    assert named_targets - targets == set()


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_stays_short(readme: str) -> None:
    assert len((ROOT / readme).read_text("utf-8").splitlines()) < MAX_README_LINES


SOURCES = (ROOT, ROOT / "src/shop_order", ROOT / "src")
PROSE = sorted(
    path
    for folder in ("", "docs/", "docs/decisions/", "docs/runbooks/", "client/", "deploy/observability/")
    for path in ROOT.glob(f"{folder}*.md")
    if path.name != "CHANGELOG.md"
)


def missing_files(text: str) -> list[str]:
    """The files named in backticks, with a folder, that are neither in the repository nor in its packages."""
    paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|yaml|yml|toml|sql|template|proto))`", text)
    return [path for path in paths if not any((base / path).is_file() for base in SOURCES)]


@pytest.mark.parametrize("page", PROSE, ids=named)
def test_every_file_that_a_document_names_exists(page: Path) -> None:
    assert missing_files(page.read_text("utf-8")) == []


def test_a_file_that_does_not_exist_is_named() -> None:
    assert missing_files("see `pkg/ids.py`, `tests/shop.py` and `pkg/no_such.py`") == ["pkg/no_such.py"]
