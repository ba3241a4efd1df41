"""Order databases for tests: migrated once a process, then copied."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from shop_order.repository.schema import migrate

_MEMORY = Path("/dev/shm")


def fresh_folder() -> Path:
    """An empty folder, in memory where the machine has a place for that; the caller removes it."""
    return Path(tempfile.mkdtemp(prefix="shop-", dir=_MEMORY if _MEMORY.is_dir() else None))


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="shop-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(f"sqlite:///{folder / 'order.db'}")
    return folder / "order.db"


def migrated_copy(path: Path) -> Path:
    """Make `path` an order database without orders."""
    shutil.copyfile(_template(), path)
    return path
