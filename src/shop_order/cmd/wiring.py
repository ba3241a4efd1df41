"""Leaving the wiring of `make run` where commands find it; see `configs.wiring`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shop_order.configs import Settings
from shop_order.configs.wiring import document, wiring_file


@contextmanager
def left(settings: Settings) -> Iterator[None]:
    """The wiring of these settings lies in their data folder until the block ends. Raises OSError."""
    file = wiring_file(settings.data_dir)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # before its name: no reader sees it unlocked
        os.write(handle, document(settings).encode())
        os.replace(draft, file)
        yield
    finally:
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(file), os.fstat(handle)):  # it may be another's by now
                file.unlink()
        os.close(handle)
