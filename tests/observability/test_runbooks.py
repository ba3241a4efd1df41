"""What a runbook's page tells somebody at night to type, read or set is there."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import typer.main

from shop_order.cmd.cli.root import app as cli
from shop_order.configs import tree

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "shop_order"
PAGES = {page.stem: page.read_text("utf-8") for page in (ROOT / "docs" / "runbooks").glob("*.md")}


def named(pattern: str) -> list[tuple[str, str]]:
    """What of this kind the pages say, and where; there is something."""
    found = [(page, " ".join(it.split())) for page, text in PAGES.items() for it in re.findall(pattern, text)]
    assert found
    return found


def test_commands_exist() -> None:
    for page, line in named(r"shop-order ([^`]*)`"):
        command: Any = typer.main.get_command(cli)
        words = line.split()
        while hasattr(command, "commands"):
            assert words and words[0] in command.commands, (page, line)
            command = command.commands[words.pop(0)]
        options = {option for param in command.params for option in param.opts}
        assert {word for word in words if word.startswith("-")} <= options, (page, line)
        needed = [param for param in command.params if param.param_type_name == "argument" and param.required]
        assert len(words) >= len(needed), (page, line)


def test_lines_of_the_log_exist() -> None:
    sources = "".join(path.read_text("utf-8") for path in SOURCES.rglob("*.py"))
    for page, event in named(r'\.msg == "(\w+)"'):
        made = f'f"{event.partition("_")[0]}_{{'  # of an outcome
        assert f'"{event}"' in sources or made in sources, (page, event)


def test_settings_exist() -> None:
    keys = {tree.key_of(path) for path in tree.leaves()}
    assert [one for one in named(r"\b[A-Z]+(?:__[A-Z0-9_]*[A-Z0-9])+\b") if one[1] not in keys] == []


def test_queries_are_answered() -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.executescript((SOURCES / "script" / "sqlite" / "schema.sql").read_text("utf-8"))
        for page, query in named(r"`(SELECT [^`]*)`"):
            assert connection.execute(query).description, (page, query)
