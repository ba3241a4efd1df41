"""`RELOAD=1 make run`: starts the Shop anew when its sources change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

LOOK_EVERY_S = 0.5
STOP_WITHIN_S = 30.0
SUFFIXES = frozenset({".py", ".yaml", ".html", ".css", ".js", ".svg"})
SOURCES = Path(__file__).resolve().parents[1]


def sources(folder: Path = SOURCES) -> Iterator[Path]:
    """Every file whose change matters."""
    for package in ("shop_order", "shop_sandbox"):
        yield from (path for path in (folder / package).rglob("*") if path.suffix in SUFFIXES)


def stamps(folder: Path = SOURCES) -> dict[Path, int]:
    """When each source was last written; a file that goes away meanwhile is left out."""
    found = {}
    for path in sources(folder):
        try:
            found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


class Following:
    """Keeps one child running on the newest sources until INT or TERM."""

    def __init__(self, command: list[str], folder: Path = SOURCES) -> None:
        self._command = command
        self._folder = folder
        self._stopping = False

    def run(self) -> int:
        """The exit code of the last child, 0 if our signal ended it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        while True:
            seen = stamps(self._folder)
            child = self._start()
            self._wait(seen, child)
            code = self._end(child)
            if self._stopping:
                return max(code, 0)
            sys.stderr.write("源码已变更，重新启动 … / sources changed: starting again …\n")

    def _start(self) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if name != "RELOAD"}
        # A session of its own: Ctrl-C reaches the child once, from us.
        return subprocess.Popen(self._command, env=environ, start_new_session=True)  # noqa: S603

    def _wait(self, seen: dict[Path, int], child: subprocess.Popen[bytes]) -> None:
        """Until something changed or a signal came; a child that ended by itself waits for a change too."""
        told = False
        while not self._stopping and stamps(self._folder) == seen:
            if child.poll() is not None and not told:
                told = True
                sys.stderr.write("已退出，等待源码变更 / it ended; waiting for a change of the sources\n")
            time.sleep(LOOK_EVERY_S)

    def _end(self, child: subprocess.Popen[bytes]) -> int:
        if child.poll() is None:
            child.terminate()
        try:
            return child.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
