"""Steps before a process serves: it opens its log, and closes stored files to other users.

New files are private by the umask of `startup`; an older version may have left some readable. Only our files
are changed: DATA_DIR may be shared.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from shop_order.configs import Settings
from shop_order.configs.engines import sqlite_path
from shop_order.pkg.log import LogConfig, Logging, get_logger

log = get_logger("private")
OTHERS = 0o077
FOLDERS = ("dev", "config", "sandbox", "logs")
SYSTEM_FOLDERS = frozenset({"lost+found"})  # created by mkfs


@contextmanager
def logged(settings: Settings) -> Iterator[None]:
    """Log until the block ends, and first restrict stored files to their owner. Raises OSError."""
    logging = open_log(settings)
    try:
        restrict_files(settings)
        yield
    finally:
        logging.close()


def open_log(settings: Settings) -> Logging:
    """Open the log of the process (specification 6.6). Raises OSError."""
    return Logging(LogConfig(**settings.log.model_dump(), queue=settings.limit.log_queue))


def restrict_files(settings: Settings) -> None:
    """Remove access of group and others from our files; log those that belong to another user."""
    data = Path(settings.data_dir)
    kept = set(stored_files(settings))
    if is_private_folder(data):
        kept.add(data)
    elif data.is_dir() and data.stat().st_mode & 0o007:
        log.warning("data_folder_is_shared", folder=str(data), mode=oct(stat.S_IMODE(data.stat().st_mode)))
    for path in sorted(kept):
        restrict(path)


def stored_files(settings: Settings) -> Iterator[Path]:
    """Yield every existing file and folder of ours."""
    for url in (settings.db.url, settings.oplog.url):
        if url.startswith("sqlite:"):
            file = Path(sqlite_path(url))
            yield from file.parent.glob(f"{file.name}*")  # with -wal, -shm and locks
    if settings.log.filename:
        file = Path(settings.log.filename)
        old = f"{escape(file.stem)}-*{escape(file.suffix)}"
        for pattern in (escape(file.name), old, f"{old}.gz"):
            yield from file.parent.glob(pattern)
    for name in FOLDERS:
        for folder, _, names in os.walk(Path(settings.data_dir, name), followlinks=False):
            yield Path(folder)
            yield from (Path(folder, one) for one in names)


def is_private_folder(data: Path) -> bool:
    """Whether the folder contains only our data; as root we would lock everyone out of /opt or /tmp."""
    try:
        found = [*data.iterdir()]
        shared = data.stat().st_mode & stat.S_ISVTX or data.resolve() == Path("/")
    except OSError:
        return False
    known = SYSTEM_FOLDERS.union(FOLDERS)
    foreign = [path for path in found if path.is_dir() and path.name not in known]
    return not shared and not foreign


def restrict(path: Path) -> None:
    """Restrict a file or folder to its owner; not what a link leads to, nor a device such as /dev/null."""
    try:
        found = path.lstat()
        mode = stat.S_IMODE(found.st_mode)
        if not mode & OTHERS or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            return
        if found.st_uid == os.geteuid():
            path.chmod(mode & ~OTHERS)
        elif mode & 0o007:
            log.warning("readable_by_others", path=str(path), mode=oct(mode), owner=found.st_uid)
    except FileNotFoundError:  # removed by another process
        return
    except OSError as failed:
        log.warning("readable_by_others", path=str(path), error=str(failed))
