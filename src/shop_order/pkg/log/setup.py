"""Opens the process's log and routes the standard library's loggers into it."""

import atexit
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shop_order.pkg.log.logger import LEVELS, StandardLibrary, Stderr, outlet
from shop_order.pkg.log.rotation import RotatingFile
from shop_order.pkg.log.whole_lines import WholeLines
from shop_order.pkg.log.writer import LogWriter, Target

# They bring handlers of their own, which would write every line twice.
_WITH_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic", "grpc")
# Each call with its address, which may be a secret for a while, as that of a provider's bill; the one of our
# own calls is logged by a middleware.
_TALKATIVE = ("uvicorn.access", "httpx", "httpcore")


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Specification 6.6: sizes in MB, ages in days; without a filename only standard output."""

    level: str = "info"
    filename: str | None = None
    stdout: bool = True
    max_size: int = 100
    max_backups: int = 10
    max_age: int = 30
    compress: bool = True
    queue: int = 20_000


def start_logging(config: LogConfig, stream: BinaryIO | None = None) -> "Logging":
    """Opens file and stream (standard output if none is given). Raises OSError.

    The caller closes what it gets; a process that just ends is flushed at exit.
    """
    file = None
    if config.filename:
        file = RotatingFile(
            Path(config.filename),
            max_bytes=config.max_size * 1_000_000,
            max_backups=config.max_backups,
            max_age_s=config.max_age * 86_400,
            compress=config.compress,
        )
    targets: list[Target] = [file] if file else []
    if config.stdout:
        targets.append(_Stream(stream or sys.stdout.buffer))
    return Logging(LogWriter(targets, config.queue), file, config.level)


def set_level(level: str) -> None:
    """Changes the level of a running process: debug, info, warn or error. Raises KeyError."""
    outlet.threshold = LEVELS[level]
    logging.getLogger().setLevel(outlet.threshold)


class Logging:
    """The open log of the process."""

    def __init__(self, writer: LogWriter, file: RotatingFile | None, level: str) -> None:
        self.writer = writer
        self._file = file
        outlet.sink = writer
        self._handler = StandardLibrary()
        root = logging.getLogger()
        self._handlers_before = root.handlers[:]
        root.handlers[:] = [self._handler]
        for name in _WITH_OWN_HANDLERS:
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
        set_level(level)
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        atexit.register(self.close)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything logged so far is written; tells whether it was in time."""
        return self.writer.flush(timeout_s)

    def close(self) -> None:
        """Writes what is queued and closes the file; later lines go to standard error."""
        atexit.unregister(self.close)
        outlet.sink = Stderr()
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.handlers[:] = self._handlers_before
        self.writer.close()
        if self._file is not None:
            self._file.close()


def log_failing() -> bool:
    """Whether the log could not be written a moment ago, all or in part."""
    return isinstance(outlet.sink, LogWriter) and outlet.sink.failing


class _Stream:
    """Past the stream's own buffer, which would keep half a line of what a full disk refused."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines = WholeLines(getattr(stream, "raw", stream).write)

    def write(self, batch: bytes, /) -> None:
        self._stream.flush()  # what others wrote before us
        self._lines.write(batch)
