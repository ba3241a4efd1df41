"""A log file that is rotated by size, gzipped, and kept by number and age."""

import gzip
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO


class RotatingFile:
    """Written by one thread. Old files are called <stem>-<UTC time>.log[.gz], so that they sort by age."""

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        max_backups: int,
        max_age_s: float,
        compress: bool,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`max_backups` and `max_age_s` 0 keep all. Raises OSError if the file can't be opened."""
        self._path = path
        self._max_bytes = max_bytes
        self._max_backups = max_backups
        self._max_age_s = max_age_s
        self._compress = compress
        self._now_s = now_s
        self._tidying: threading.Thread | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._open()
        self._tidy_up()

    def write(self, batch: bytes) -> None:
        """Appends whole lines, after a rotation if they would not fit. Raises OSError."""
        if self._file.closed:  # the last rotation failed: perhaps there is room again
            self._file = self._open()
        if self._size and self._size + len(batch) > self._max_bytes:
            self._rotate()
        self._file.write(batch)
        self._size += len(batch)

    def close(self) -> None:
        """Closes the file and waits for the tidying of old ones."""
        self._file.close()
        if self._tidying is not None:
            self._tidying.join()

    def backups(self) -> list[Path]:
        """The old files, oldest first."""
        found = [*self._old(""), *self._old(".gz")]
        return sorted(found, key=lambda p: p.name.removesuffix(".gz"))

    def _old(self, ending: str) -> list[Path]:
        return list(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}{ending}"))

    def _open(self) -> BinaryIO:
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._size = os.fstat(handle).st_size
        return open(handle, "ab", buffering=0)

    def _rotate(self) -> None:
        stamp = datetime.fromtimestamp(self._now_s(), UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        self._file.close()
        try:
            os.replace(self._path, self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}"))
        finally:
            self._file = self._open()
        self._tidy_up()

    def _tidy_up(self) -> None:
        # In a thread of its own: gzip of a full file takes seconds, in which lines would pile up.
        if self._tidying is None or not self._tidying.is_alive():
            self._tidying = threading.Thread(target=self._tidy, name="log-tidy", daemon=True)
            self._tidying.start()

    def _tidy(self) -> None:
        with suppress(OSError):  # the next rotation tries again; the log itself must go on
            old = self.backups()
            surplus = old[: -self._max_backups] if self._max_backups else []
            horizon = self._now_s() - self._max_age_s if self._max_age_s else 0
            for path in old:
                if path in surplus or path.stat().st_mtime < horizon:
                    path.unlink()
                elif self._compress and path.suffix != ".gz":
                    _gzip(path)


def _gzip(path: Path) -> None:
    draft = path.with_name(f".{path.name}.gz.tmp")
    with open(path, "rb") as source, gzip.open(draft, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    shutil.copystat(path, draft)
    os.replace(draft, path.with_name(f"{path.name}.gz"))
    path.unlink()
