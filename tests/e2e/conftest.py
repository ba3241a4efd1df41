"""Says at the end of a run which foreign clients bought something."""

from __future__ import annotations

from _pytest.terminal import TerminalReporter

FOREIGN_CLIENTS: list[str] = []


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    if FOREIGN_CLIENTS:
        terminalreporter.section("foreign clients")
        terminalreporter.line(", ".join(FOREIGN_CLIENTS))
