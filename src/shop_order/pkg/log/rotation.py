"""A log file that is rotated by size, gzipped, and kept by number and age."""

import gzip
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from shop_order.pkg.log.whole_lines import WholeLines

OURS_ALONE = 0o600  # a log names buyers' orders


class RotatingFile:
    """Written by one thread. Old files are called <stem>-<UTC time>.log[.gz], so that they sort by age.

    Nobody but its owner may read them. What a full disk or a kill left of a line is no part of the next one.
    """

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
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._open()
        self._tidy_up()

    def write(self, batch: bytes) -> None:
        """Appends whole lines, after a rotation if they would not fit. Raises OSError."""
        if self._file.closed:  # the last rotation failed: perhaps there is room again
            self._file = self._open()
        if self._size and self._size + len(batch) > self._max_bytes:
            self._rotate()
        try:
            self._size += self._lines.write(batch)
        except OSError:
            self._take_back()
            raise

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
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, OURS_ALONE)
        found = os.fstat(handle)
        self._size = found.st_size
        self._is_file = stat.S_ISREG(found.st_mode)
        if self._is_file:
            _close_to_others(handle, found)
        file = open(handle, "ab", buffering=0)  # noqa: SIM115 - it stays open
        self._lines = WholeLines(file.write, torn=self._is_file and _ends_in_a_half(self._path))
        return file

    def _take_back(self) -> None:
        """Cut off the half line; where that can't be done, the next one begins on a line of its own."""
        with suppress(OSError):
            self._size = os.fstat(self._file.fileno()).st_size
            if self._is_file and self._lines.half:
                self._size -= self._lines.half
                os.ftruncate(self._file.fileno(), self._size)
                self._lines.taken_back()

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
            for path in old:
                _close_to_others(path, path.lstat())
            surplus = old[: -self._max_backups] if self._max_backups else []
            horizon = self._now_s() - self._max_age_s if self._max_age_s else 0
            for path in old:
                if path in surplus or path.stat().st_mtime < horizon:
                    path.unlink()
                elif self._compress and path.suffix != ".gz":
                    _gzip(path)


def _close_to_others(file: int | Path, found: os.stat_result) -> None:
    """Older versions let others read it; one that is not ours stays as it is."""
    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077 and found.st_uid == os.geteuid():
        os.chmod(file, stat.S_IMODE(found.st_mode) & ~0o077)


def _ends_in_a_half(path: Path) -> bool:
    """Whether its writer was killed, or found the disk full, in the middle of a line."""
    try:
        with open(path, "rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # we may write it only: at worst an empty line
        return True


def _gzip(path: Path) -> None:
    draft = path.with_name(f".{path.name}.gz.tmp")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OURS_ALONE)
    with (
        open(path, "rb") as source,
        open(handle, "wb") as raw,
        gzip.open(raw, "wb", compresslevel=6) as target,
    ):
        shutil.copyfileobj(source, target, 1 << 20)
    was = path.stat()
    os.utime(draft, ns=(was.st_atime_ns, was.st_mtime_ns))  # its age
    os.replace(draft, path.with_name(f"{path.name}.gz"))
    path.unlink()
