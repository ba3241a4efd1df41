"""Databases and keys for tests: made once a process, then copied."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from shop_order.repository import schema
from shop_order.script import migrations
from shop_sandbox.alipay.keys import ensure_keys
from shop_sandbox.wechat.keys import ensure_keys as ensure_wechat_keys

_MEMORY = Path("/dev/shm")


def fresh_folder() -> Path:
    """An empty folder, in memory where the machine has a place for that; the caller removes it."""
    return Path(tempfile.mkdtemp(prefix="shop-", dir=_MEMORY if _MEMORY.is_dir() else None))


@cache
def _template() -> Path:
    """Migrated once: by this process, or into the folder SHOP_TEMPLATES by the first that needs it."""
    if shared := os.environ.get("SHOP_TEMPLATES"):
        folder = Path(shared)
    else:
        folder = Path(tempfile.mkdtemp(prefix="shop-template-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    digest = hashlib.sha256(Path(str(schema.__file__)).read_bytes())
    for path in sorted(Path(str(migrations.__file__)).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    template = folder / f"{digest.hexdigest()[:16]}.db"
    if not template.exists():
        mine = folder / f"{template.stem}-{os.getpid()}.db"
        schema.migrate(f"sqlite:///{mine}")
        mine.rename(template)
    return template


def migrated_copy(path: Path) -> Path:
    """Make `path` an order database without orders."""
    shutil.copyfile(_template(), path)
    return path


@cache
def _keys() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="shop-keys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ensure_keys(folder)
    ensure_wechat_keys(folder)
    return folder


def give_keys(folder: Path) -> None:
    """The RSA keys of the merchant and the provider, made once a process; those of an earlier start stay."""
    if not (folder / "alipay_private.pem").exists():
        shutil.copytree(_keys(), folder, dirs_exist_ok=True)
