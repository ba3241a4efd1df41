"""A page in two languages says the same in both: headings, code, tables, links and pictures.

Words are the translator's, in comments and strings of programs too. Compared is what does not depend on the
language: how many headings of which level, commands and programs, the code in headings and in the first
column of tables, and where links lead; of diagrams their number, since their layout follows their words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUFFIX = ".zh-CN.md"
PAGES = sorted(path for path in (*ROOT.glob(f"*{SUFFIX}"), *ROOT.glob(f"docs/**/*{SUFFIX}")))

FENCE = re.compile(r"^ *(`{3,})(\w*)[^`\n]*\n(.*?)^ *\1 *$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
ROW = re.compile(r"^\|(.*?)\|", re.MULTILINE)
RULE = re.compile(r"[\s:-]+")
TARGET = re.compile(r"""\]\(<?([^)\s>]+)|(?:src|href)="([^"]+)\"""")
COMMENT = re.compile(r"(?:^|\s)(?:#|//|--)\s.*$")
WORDS = re.compile(r'"(?:[^"]*[^\x00-\x7f][^"]*|\w+(?: \w+)+:?)"(?:, )?')
DRAWN = {"mermaid", "text", ""}


@dataclass(frozen=True)
class Page:
    """What of a page must be the same in every language, in its order."""

    headings: list[tuple[int, list[str]]] = field(default_factory=list)
    code: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)


def read(text: str) -> Page:
    words = FENCE.sub("", text)
    return Page(
        [(len(level), CODE.findall(title)) for level, title in HEADING.findall(words)],
        [(language, program(language, body)) for _, language, body in FENCE.findall(text)],
        [CODE.findall(cell) for cell in ROW.findall(words) if not RULE.fullmatch(cell)],
        sorted(set(targets(words))),
    )


def program(language: str, body: str) -> str:
    """A block of code without words and indentation; nothing of a drawing."""
    lines = (COMMENT.sub("", WORDS.sub("", line)).strip() for line in body.splitlines())
    return "" if language in DRAWN else "\n".join(line for line in lines if line)


def targets(text: str) -> Iterator[str]:
    """Where links and pictures lead, as the English page would write it; anchors are words."""
    for one, other in TARGET.findall(text):
        path = (one or other).partition("#")[0]
        if path and not (path.endswith(".md") and path.removesuffix(".md").startswith("README")):
            yield re.sub(r"[.-]zh-CN(?=\.\w+$)", "", path)


@pytest.mark.parametrize("translated", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_both_languages_say_the_same(translated: Path) -> None:
    original = translated.with_name(translated.name.removesuffix(SUFFIX) + ".md")
    english, chinese = (read(page.read_text("utf-8")) for page in (original, translated))
    assert chinese.headings == english.headings
    assert chinese.code == english.code
    assert chinese.rows == english.rows
    assert chinese.targets == english.targets


def test_each_readme_leads_to_the_other() -> None:
    assert f"(README{SUFFIX})" in (ROOT / "README.md").read_text("utf-8")
    assert "(README.md)" in (ROOT / f"README{SUFFIX}").read_text("utf-8")


def test_there_are_pages_in_two_languages() -> None:
    assert ROOT / f"README{SUFFIX}" in PAGES


ENGLISH = """# Title
See [the manual](docs/a.md#start), [中文](README.zh-CN.md) and ![a picture](docs/a.png).
## Run `make`
```sh
make run  # starts it
# wait
curl x -H "A: $B" -d "100 Park Road"
```
| setting | meaning |
|---|---|
| `A` | what |
"""
CHINESE = """# 标题
见[手册](docs/a.zh-CN.md#开始)、[English](README.md)和![图](docs/a.zh-CN.png)。
## 运行 `make`
```sh
make run  # 启动
curl x -H "A: $B" -d "文三路 100 号"
```
| 配置 | 含义 |
|:---|---|
| `A` | 什么 |
"""


def test_only_the_words_may_differ() -> None:
    assert read(CHINESE) == read(ENGLISH)


@pytest.mark.parametrize(
    ("here", "other"),
    [
        ("## 运行 `make`", "### 运行 `make`"),
        ("## 运行 `make`", "## 运行 `make test`"),
        ("## 运行 `make`\n", ""),
        ("make run ", "make demo "),
        ("curl x", "wget x"),
        ("A: $B", "A: $C"),
        ("```sh", "```python"),
        ("| `A` | 什么 |\n", ""),
        ("| `A` |", "| `B` |"),
        ("docs/a.zh-CN.md", "docs/b.md"),
        ("docs/a.zh-CN.png", "docs/b.png"),
    ],
)
def test_anything_else_is_told(here: str, other: str) -> None:
    assert here in CHINESE
    assert read(CHINESE.replace(here, other)) != read(ENGLISH)
