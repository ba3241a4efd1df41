"""`--long`: of the matrices marked `long`, `make test` takes a sample, and `make test-long` everything.

The sample is drawn anew for each commit; `SHOP_LONG_SEED` draws the one of another run again. Where files or
folders are named, all of their tests run.
"""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

SEED = "SHOP_LONG_SEED"
ONE_OF = 10
_DRAWN = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = (
        f"of the tests marked `long`: all (the default), one in {ONE_OF} of each file, or nothing else"
    )
    parser.getgroup("long").addoption(
        "--long", choices=("all", "sample", "only"), default="all", help=help_text
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"long(one_of={ONE_OF}): a matrix of which `make test` takes one in so many, `make test-long` all",
    )

    # A worker of pytest-xdist gets the options of the main process, but names its files.
    if not hasattr(config, "workerinput") and config.args_source is pytest.Config.ArgsSource.ARGS:
        config.option.long = {"sample": "all"}.get(config.option.long, config.option.long)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = [item for item in items if item.get_closest_marker("long")]
    wanted: str = config.getoption("long")
    if wanted == "only":
        _keep(config, items, {*long})
    elif wanted == "sample" and long:
        seed = os.environ.get(SEED) or _commit(config.rootpath)
        drawn = _drawn(long, seed)
        config.stash[_DRAWN] = f"long: {len(drawn)} of {len(long)} tests, drawn by {SEED}={seed}"
        _keep(config, items, {*items} - {*long} | drawn)


def _keep(config: pytest.Config, items: list[pytest.Item], kept: set[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _drawn(long: list[pytest.Item], seed: str) -> set[pytest.Item]:
    """One in `one_of` of each file, at least one; which ones follows from the seed and their names."""
    of_file: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in long:
        of_file[item.path].append(item)
    drawn: set[pytest.Item] = set()
    for tests in of_file.values():
        tests.sort(key=lambda item: sha256(f"{seed} {item.nodeid}".encode()).digest())
        marker = tests[0].get_closest_marker("long")
        one_of = marker.kwargs.get("one_of", ONE_OF) if marker else ONE_OF
        drawn |= {*tests[: -(-len(tests) // one_of)]}
    return drawn


def _commit(root: Path) -> str:
    """The commit that is tested; without git, always the same."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "0"
    return done.stdout.strip() or "0"


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["long"] = session.config.stash.get(_DRAWN, "")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended; all of them drew the same."""
    if drawn := getattr(node, "workeroutput", {}).get("long"):
        node.config.stash[_DRAWN] = drawn


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    if drawn := config.stash.get(_DRAWN, None):
        terminalreporter.line(drawn)
