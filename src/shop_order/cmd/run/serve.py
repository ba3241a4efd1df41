"""`shop-order serve`: serve until TERM or INT."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import closing
from pathlib import Path

from shop_order.cmd.run.app import App
from shop_order.cmd.run.bootstrap import log_to_files
from shop_order.cmd.run.signals import Signals
from shop_order.configs import Loaded
from shop_order.configs.engines import sqlite_path
from shop_order.repository.schema import create
from shop_order.script.migrations import head

GC_THRESHOLD = 20_000  # new objects per collection; the default of 700 costs 5 % of a busy server's CPU


async def serve_until_stopped(loaded: Loaded) -> int:
    """Serve, and return the exit code. Raises what refuses a start."""
    signals = Signals()
    if await signals.unless_stopped(ensure_schema(loaded)):
        with log_to_files(loaded.settings):
            app = App(loaded)
            signals.reload_by(app.reload)
            if await signals.unless_stopped(app.start()):
                tune_gc()
                await signals.stop.wait()
                await app.stop()
    return signals.finish()


def tune_gc() -> None:
    """Exclude the objects of the start from garbage collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)


async def ensure_schema(loaded: Loaded) -> None:
    """Create or migrate the tables of the embedded database. Raises OSError if that fails.

    Migrates in a separate process: Alembic would stay in the server's memory.
    """
    if not loaded.settings.db.url.startswith("sqlite:"):
        return  # `shop-order migrate` migrates a shared database
    path = Path(sqlite_path(loaded.settings.db.url))
    if await asyncio.to_thread(is_current, path):
        return
    code = f"from shop_order.repository.schema import migrate; migrate({f'sqlite:///{path}'!r})"
    migration = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
    )
    try:
        _, stderr = await migration.communicate()
    finally:
        if migration.returncode is None:  # one transaction: it is rolled back
            migration.terminate()
            await migration.wait()
    text = stderr.decode(errors="replace")
    if migration.returncode:
        why = [f"exit code {migration.returncode}", *text.strip().splitlines()][-1]
        raise OSError(f"the order database could not be migrated: {why}")
    sys.stderr.write(text)  # its warnings


def is_current(path: Path) -> bool:
    """Whether the schema is current; creates that of a new file. Raises OSError for an unusable one."""
    try:
        return revision(path) == head() or create(path)
    except sqlite3.DatabaseError as damaged:
        raise OSError(f"the order database {path} can't be used: {damaged}") from damaged


def revision(path: Path) -> str:
    """Return the schema's revision, empty if there is none. Raises sqlite3.DatabaseError."""
    if not path.exists():
        return ""
    with closing(sqlite3.connect(path)) as connection:
        named = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
        if not connection.execute(named).fetchone():
            return ""
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else ""
