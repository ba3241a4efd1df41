"""What the machine says: CPU and memory of a process, the file system, the price of a durable write."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from pathlib import Path

MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = 4096
_SYNCS = 300


class NotOnDisk(Exception):
    """The folder lies in memory: a commit would cost nothing there."""


def cpu_s(pid: int) -> float:
    """Seconds of CPU the process used so far, in user and kernel mode; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def pids_in(file: Path) -> tuple[int, ...]:
    """The process that wrote its number there; none if it runs elsewhere."""
    try:
        pid = int(file.read_text())
    except (OSError, ValueError):
        return ()
    return (pid,) if Path(f"/proc/{pid}").exists() else ()


def resident_mib(pid: int) -> float:
    """Memory that is in RAM, in MiB; 0 where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def file_system(folder: Path) -> str:
    """The type of the file system a folder lies on; `unknown` where there is no /proc."""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return "unknown"
    found = ("", "unknown")
    for line in mounts:
        point, kind = line.split()[1:3]
        if folder.resolve().is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def require_disk(folder: Path) -> str:
    """The type of its file system. Raises NotOnDisk."""
    kind = file_system(folder)
    if kind in MEMORY_FILE_SYSTEMS:
        raise NotOnDisk(f"{folder} lies on {kind}, which is memory: choose another with --dir")
    return kind


def fdatasync_us(folder: Path) -> float:
    """Median microseconds of appending a page and forcing it to the disk."""
    path = folder / "fdatasync.probe"
    page = os.urandom(_PAGE)
    took = []
    sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            started = time.perf_counter()
            file.write(page)
            sync(file.fileno())
            took.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(took) * 1e6


def described(kind: str) -> dict[str, object]:
    """What a reader must know of the machine, and nothing that names it."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "file_system": kind,
    }
