"""Takes finished lines from all threads and writes them in batches from a thread of its own."""

import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Protocol

_LINGER_S = 0.02  # gathers lines into one write; nobody waits for it
_BLOCK_S = 0.05  # how long a warning waits for room
_WARN = 30
_BATCH_LINES = 1000


class Target(Protocol):
    """A place for batches of whole lines: a rotating file, or standard output."""

    def write(self, batch: bytes, /) -> object:
        """Writes the batch. Raises OSError."""
        ...


class LogWriter:
    """A bounded queue before the targets; full means that debug and info are dropped and counted."""

    def __init__(self, targets: list[Target], max_lines: int) -> None:
        self._targets = targets
        self._max_lines = max_lines
        self._lines: deque[bytes | threading.Event] = deque()
        self._wake = threading.Event()
        self._room = threading.Event()
        self._closing = False
        self._dropped = 0
        self._reported = 0
        self._failed = 0
        self._in_vain: dict[int, int] = {}  # lines that a target lost since it took its last batch
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines found no room since the start."""
        return self._dropped

    @property
    def failed_batches(self) -> int:
        """How many batches a target could not take."""
        return self._failed

    @property
    def failing(self) -> bool:
        """Whether a target could not take the last batch."""
        return bool(self._in_vain)

    def put(self, line: bytes, level: int) -> None:
        """Queues a line; a warning or worse waits up to 50 ms for room, others do not wait."""
        if len(self._lines) >= self._max_lines and not (level >= _WARN and self._wait_for_room()):
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until what was put before is written; tells whether it was in time."""
        if not self._thread.is_alive():
            return not self._lines
        written = threading.Event()
        self._lines.append(written)
        self._wake.set()
        return written.wait(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Writes what is queued and ends the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _wait_for_room(self) -> bool:
        if threading.current_thread() is self._thread:
            return False
        self._room.clear()
        self._wake.set()
        self._room.wait(_BLOCK_S)
        return len(self._lines) < self._max_lines

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if not self._closing and not self._has_flush():
                time.sleep(_LINGER_S)
            self._wake.clear()
            while self._lines:
                self._write_batch()
            if self._closing and not self._lines:
                return

    def _has_flush(self) -> bool:
        try:
            return isinstance(self._lines[-1], threading.Event)
        except IndexError:
            return False

    def _write_batch(self) -> None:
        batch: list[bytes] = []
        waiting: list[threading.Event] = []
        while self._lines and len(batch) < _BATCH_LINES:
            item = self._lines.popleft()
            if isinstance(item, bytes):
                batch.append(item)
            else:
                waiting.append(item)
        if (dropped := self._dropped) != self._reported:
            batch.append(_dropped_line(dropped - self._reported))
            self._reported = dropped
        if batch:
            joined = b"".join(batch)
            for number, target in enumerate(self._targets):
                self._write(number, target, joined, len(batch))
        self._room.set()
        for written in waiting:
            written.set()

    def _write(self, number: int, target: Target, batch: bytes, lines: int) -> None:
        lost = self._in_vain.get(number, 0)
        try:
            target.write(_dropped_line(lost) + batch if lost else batch)
        except (OSError, ValueError) as error:  # a full disk or a closed pipe must not stop the service
            if not lost:
                with suppress(OSError, ValueError):
                    sys.stderr.write(f"the log can't be written: {error}\n")
            self._in_vain[number] = lost + lines
            self._failed += 1
        else:
            self._in_vain.pop(number, None)


def _dropped_line(count: int) -> bytes:
    from shop_order.pkg.log.logger import outlet

    fields = {"dropped": count}
    return outlet.renderer.render("warn", "pkg.log", "log/writer.py:0", "log lines were dropped", fields)
