"""Says at the end of a whole run how long it took, and where the time went."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest
from _pytest.terminal import TerminalReporter

# `make test` on a quiet machine with two cores: what takes longer belongs to `make test-long`.
MAX_MINUTES = 10
LISTED = 8
_BEGAN_S = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_BEGAN_S] = time.monotonic()


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    took_s = time.monotonic() - config.stash[_BEGAN_S]
    spent_s: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                spent_s["/".join(report.nodeid.split("/")[:3][:-1])] += report.duration
    terminalreporter.section("time")
    terminalreporter.line(f"took {took_s / 60:.1f} minutes (at most {MAX_MINUTES} on a quiet machine)")
    longest = sorted(spent_s, key=spent_s.__getitem__, reverse=True)[:LISTED]
    told = ", ".join(f"{folder} {spent_s[folder]:.0f} s" for folder in longest)
    terminalreporter.line(f"most of it: {told or 'nothing'}")
