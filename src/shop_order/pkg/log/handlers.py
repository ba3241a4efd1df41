"""Writes log lines: a bounded queue, a thread, and the standard library's handlers."""

from __future__ import annotations

import atexit
import gzip
import logging
import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from structlog.contextvars import merge_contextvars
from structlog.processors import format_exc_info
from structlog.stdlib import ProcessorFormatter, add_logger_name

from shop_order.pkg.log.logger import LEVELS, PLACE_OF_RECORD, outlet, render, set_level, to_stderr

GATHER_S = 0.02  # lines are written in batches: waking the thread for each would slow the event loop
FULL_WAIT_S = 0.05  # for which a warning waits if the queue is full
BATCH_LINES = 1000
CLOSE_S = 5.0
# Their own handlers would write every line twice.
WITH_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic", "grpc")
# They log URLs, which may contain secrets, such as a provider's bill URL.
VERBOSE = ("uvicorn.access", "httpx", "httpcore")


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Specification 6.6: sizes in MB, ages in days, 0 is unlimited; no filename: standard output only."""

    level: str = "info"
    filename: str | None = None
    stdout: bool = True
    max_size: int = 100
    max_backups: int = 10
    max_age: int = 30
    compress: bool = True
    queue: int = 20_000


class WholeLines:
    """A stream that never appends a line to a partial one, which a full disk may leave."""

    def __init__(self, stream: BinaryIO, *, is_file: bool = False, torn: bool = False) -> None:
        """`torn`: the content ends with an incomplete line."""
        self._is_file, self._torn = is_file, torn
        self._raw = getattr(stream, "raw", stream)  # a buffer would keep what could not be written
        self.flush, self.seek, self.tell, self.close = stream.flush, stream.seek, stream.tell, stream.close

    def write(self, text: str) -> None:
        """Write; after an OSError, the next call starts a new line."""
        self.flush()  # may contain what others have written
        batch = memoryview(("\n" + text if self._torn else text).encode())
        done = 0
        try:
            while done < len(batch):
                if not (taken := self._raw.write(batch[done:])):
                    raise BlockingIOError("the stream is full")
                done += taken
        except OSError:
            if done:
                self._torn = not self._remove_partial_line(done - (bytes(batch[:done]).rfind(b"\n") + 1))
            raise
        self._torn = False

    def _remove_partial_line(self, size: int) -> bool:
        """Remove a partial line of `size` bytes; return whether the file now ends with a complete line."""
        if size and self._is_file:
            with suppress(OSError):
                os.ftruncate(self._raw.fileno(), os.fstat(self._raw.fileno()).st_size - size)
                return True
        return not size


class StreamTarget(logging.StreamHandler[Any]):
    """A target that drops and counts lines if the disk is full or the pipe is closed."""

    terminator = ""
    lost = 0  # lines lost since the last written batch

    def emit(self, record: logging.LogRecord) -> None:
        """Write a batch of lines, after a line with the number of lost ones."""
        lost_before, self.lost = self.lost, 0
        super().emit(logging.makeLogRecord({**record.__dict__, "msg": _dropped(lost_before) + record.msg}))
        if self.lost and not lost_before:
            with suppress(OSError, ValueError):
                sys.stderr.write(f"the log can't be written: {self._error}\n")
        self.lost += lost_before if self.lost else 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.lost, self._error = record.__dict__["lines"], sys.exc_info()[1]


class FileTarget(StreamTarget, RotatingFileHandler):
    """Rotates by size; a thread then compresses old files, and deletes them by number and age.

    Old files are named <stem>-<UTC time>.log[.gz], so that they sort by age. Only their owner can read them.
    """

    def __init__(self, path: Path, config: LogConfig) -> None:
        """Raises OSError if the file can't be opened."""
        self._path, self._config = path, config
        self._tidying = threading.Lock()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        RotatingFileHandler.__init__(self, path, maxBytes=config.max_size * 1_000_000, backupCount=1)
        self._start_tidying()

    def _open(self) -> Any:
        file = open(self._path, "a+b", buffering=0, opener=owner_only)  # noqa: SIM115 - it stays open
        is_file = self._path.is_file()
        # Its writer may have been killed while writing a line.
        torn = is_file and file.tell() > 0 and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
        return WholeLines(file, is_file=is_file, torn=torn)

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether the batch would not fit; an empty file is not rotated."""
        return bool(super().shouldRollover(record) and self.stream and self.stream.tell())

    def rotation_filename(self, default_name: str) -> str:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        return str(self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}"))

    def rotate(self, source: str, dest: str) -> None:
        """Raises OSError; the next batch tries again."""
        os.replace(source, dest)
        self._start_tidying()

    def backups(self) -> list[Path]:
        """Return the old files, oldest first."""
        name = f"{self._path.stem}-*{self._path.suffix}"
        found = {*self._path.parent.glob(name), *self._path.parent.glob(f"{name}.gz")}
        return sorted(found, key=lambda path: path.name.removesuffix(".gz"))

    def close(self) -> None:
        """Close the file and wait for the clean-up of old ones."""
        super().close()
        with self._tidying:
            return

    def _start_tidying(self) -> None:
        if self._tidying.acquire(blocking=False):
            threading.Thread(target=self._tidy, name="log-tidy", daemon=True).start()

    def _tidy(self) -> None:
        keep, days = self._config.max_backups, self._config.max_age
        try:
            old = self.backups()
            surplus = set(old[:-keep] if keep else ())
            for path in old:
                if path in surplus or (days and path.stat().st_mtime < time.time() - days * 86_400):
                    path.unlink()
                elif self._config.compress and path.suffix != ".gz":
                    compress(path)
        except OSError:
            return  # retried at the next rotation; logging must continue
        finally:
            self._tidying.release()


def owner_only(path: str, flags: int) -> int:
    """Open a file that only its owner can read."""
    return os.open(path, flags, 0o600)


def compress(path: Path) -> None:
    """Replace a file by its gzip with the same times. Raises OSError."""
    draft = path.with_name(f".{path.name}.gz.tmp")
    with (
        open(path, "rb") as source,
        open(draft, "wb", opener=owner_only) as raw,
        gzip.open(raw, "wb", compresslevel=6) as target,
    ):
        shutil.copyfileobj(source, target, 1 << 20)
    shutil.copystat(path, draft)
    os.replace(draft, path.with_name(f"{path.name}.gz"))
    path.unlink()


class LogQueue(QueueHandler):
    """The root logger's handler, which also gets the records of uvicorn, grpc, alembic and others."""

    def __init__(self, max_lines: int) -> None:
        self.lines: SimpleQueue[Any] = SimpleQueue()
        super().__init__(self.lines)
        self._max_lines = max_lines
        self.dropped = 0
        chain = (ProcessorFormatter.remove_processors_meta, format_exc_info, render)
        self.setFormatter(
            ProcessorFormatter(
                processors=chain, foreign_pre_chain=(merge_contextvars, add_logger_name, PLACE_OF_RECORD)
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= outlet.threshold:  # some loggers have their own level
            super().emit(record)

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the line that `prepare` has rendered."""
        self.put(record.msg, record.levelno)

    def put(self, line: str, level: int) -> None:
        """Queue a line. If the queue is full, drop and count it, warnings after `FULL_WAIT_S`."""
        until_s = 0.0
        while self.lines.qsize() >= self._max_lines:
            until_s = until_s or time.monotonic() + (FULL_WAIT_S if level >= LEVELS["warn"] else 0)
            if time.monotonic() >= until_s:
                self.dropped += 1
                return
            time.sleep(0.001)
        self.lines.put(line)


class Writer(QueueListener):
    """The writing thread: passes gathered lines to each target as one record."""

    def __init__(self, queue: LogQueue, *targets: StreamTarget) -> None:
        super().__init__(queue.lines, *targets)
        self._queue = queue
        self._reported = 0

    def dequeue(self, block: bool) -> Any:
        """Return a batch: lines, and events to set once the lines are written."""
        lines = self._queue.lines
        if (first := lines.get(block)) is None:  # the sentinel
            return None
        if lines.qsize() < BATCH_LINES:
            time.sleep(GATHER_S)
        batch = [first]
        while len(batch) < BATCH_LINES and not lines.empty():
            if (item := lines.get()) is None:
                self.enqueue_sentinel()
                break
            batch.append(item)
        return batch

    def handle(self, record: Any) -> None:
        """Write a batch, and the number of lines that were dropped because the queue was full."""
        lines = [item for item in record if isinstance(item, str)]
        if (dropped := self._queue.dropped) != self._reported:
            lines.append(_dropped(dropped - self._reported))
            self._reported = dropped
        if lines:
            super().handle(logging.makeLogRecord({"msg": "".join(lines), "lines": len(lines)}))
        for item in record:
            if isinstance(item, threading.Event):
                item.set()


def _dropped(lines: int) -> str:
    if not lines:
        return ""
    event = {"event": "log lines were dropped", "dropped": lines, "pathname": __file__, "lineno": 0}
    return render(None, "warning", {"logger": "pkg.log", **event})


class Logging:
    """The log of the process, closed by its owner or at exit."""

    def __init__(self, config: LogConfig, stream: BinaryIO | None = None) -> None:
        """Open file and stream (standard output if none is given). Raises OSError."""
        self._targets: list[StreamTarget] = []
        if config.filename:
            self._targets.append(FileTarget(Path(config.filename), config))
        if config.stdout:
            self._targets.append(StreamTarget(WholeLines(stream or sys.stdout.buffer)))
        self._queue = LogQueue(config.queue)
        self._writer = Writer(self._queue, *self._targets)
        self._writer.start()
        root = logging.getLogger()
        self._handlers_before, root.handlers[:] = root.handlers[:], [self._queue]
        for name in WITH_OWN_HANDLERS:
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
        outlet.put, outlet.is_failing = self._queue.put, lambda: any(target.lost for target in self._targets)
        set_level(config.level)
        for name in VERBOSE:
            logging.getLogger(name).setLevel(logging.WARNING)
        atexit.register(self.close)

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all lines so far are written; whether that succeeded in time."""
        written = threading.Event()
        self._queue.lines.put(written)
        return written.wait(timeout_s)

    def close(self) -> None:
        """Write queued lines for up to `CLOSE_S`, and close the file. Later lines go to standard error."""
        atexit.unregister(self.close)
        outlet.put, outlet.is_failing = to_stderr, lambda: False
        root = logging.getLogger()
        if self._queue in root.handlers:
            root.handlers[:] = self._handlers_before
        if self.flush():
            self._writer.stop()
            for target in self._targets:
                target.close()
