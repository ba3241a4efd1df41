"""Measures the machine: CPU and memory of a process, the file system, the time of a durable write."""

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
    """The folder is in memory, where a commit costs nothing."""


def cpu_s(pid: int) -> float:
    """CPU seconds used by the process, in user and kernel mode; 0 without /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def pids_in(file: Path) -> tuple[int, ...]:
    """The process in a pid file; none if it does not run on this machine."""
    try:
        pid = int(file.read_text())
    except (OSError, ValueError):
        return ()
    return (pid,) if Path(f"/proc/{pid}").exists() else ()


def resident_mib(pid: int) -> float:
    """Resident memory in MiB; 0 without /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def file_system(folder: Path) -> str:
    """The type of a folder's file system; `unknown` without /proc."""
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
    """The type of the folder's file system. Raises NotOnDisk."""
    kind = file_system(folder)
    if kind in MEMORY_FILE_SYSTEMS:
        raise NotOnDisk(f"{folder} is on {kind}, which is memory: choose another with --dir")
    return kind


def fdatasync_us(folder: Path) -> float:
    """Median microseconds to append a page and force it to disk."""
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


def describe(kind: str) -> dict[str, object]:
    """What readers need to know about the machine, without identifying it."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "file_system": kind,
    }
