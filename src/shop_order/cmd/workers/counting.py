"""The folder where the workers of an instance count together."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "metrics-"


@contextmanager
def metrics_folder(data: Path) -> Iterator[str]:
    """One of its own until the block ends; the system may have no folder for what is temporary.

    It is locked: what a killed instance left in the same data folder goes, another's stays.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(data):
        for left in data.glob(f"{PREFIX}*"):
            _remove_if_left(left)
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=data)
        handle = os.open(folder, os.O_RDONLY)
        _lock(handle)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody takes a folder that is not locked yet for a left one."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    with suppress(OSError):  # a disk that locks no folders: there nothing that was left is taken away
        fcntl.flock(handle, fcntl.LOCK_EX)


def _remove_if_left(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # it is used
        pass
    finally:
        os.close(handle)
