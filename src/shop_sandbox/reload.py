"""`RELOAD=1 make run`: restarts the Shop when its sources change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

POLL_INTERVAL_S = 0.5
STOP_TIMEOUT_S = 30.0
SUFFIXES = frozenset({".py", ".yaml", ".html", ".css", ".js", ".svg"})
SOURCES = Path(__file__).resolve().parents[1]


def sources(folder: Path = SOURCES) -> Iterator[Path]:
    """Every source file to watch."""
    for package in ("shop_order", "shop_sandbox"):
        yield from (path for path in (folder / package).rglob("*") if path.suffix in SUFFIXES)


def modification_times(folder: Path = SOURCES) -> dict[Path, int]:
    """When each source was last modified; skips files that disappear meanwhile."""
    found = {}
    for path in sources(folder):
        try:
            found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


class Reloader:
    """Keeps one child process running on the newest sources until INT or TERM."""

    def __init__(self, command: list[str], folder: Path = SOURCES) -> None:
        self._command = command
        self._folder = folder
        self._stopping = False

    def run(self) -> int:
        """Run until stopped; returns the exit code of the last child, 0 if our signal ended it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        while True:
            known = modification_times(self._folder)
            child = self._start()
            self._wait(known, child)
            code = self._end(child)
            if self._stopping:
                return max(code, 0)
            sys.stderr.write("源码已变更，重新启动…… / sources changed: starting again …\n")

    def _start(self) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if name != "RELOAD"}
        # A separate session, so that the child gets Ctrl-C only once, from us.
        return subprocess.Popen(self._command, env=environ, start_new_session=True)  # noqa: S603

    def _wait(self, known: dict[Path, int], child: subprocess.Popen[bytes]) -> None:
        """Wait for a change or a signal, even if the child has ended by itself."""
        reported = False
        while not self._stopping and modification_times(self._folder) == known:
            if child.poll() is not None and not reported:
                reported = True
                sys.stderr.write("已退出，等待源码变更 / exited; waiting for a source change\n")
            time.sleep(POLL_INTERVAL_S)

    def _end(self, child: subprocess.Popen[bytes]) -> int:
        if child.poll() is None:
            child.terminate()
        try:
            return child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
