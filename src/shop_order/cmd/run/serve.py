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
from shop_order.cmd.run.bootstrap import open_log
from shop_order.cmd.run.file_permissions import restrict_files
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
        logging = open_log(loaded.settings)
        try:
            await _serve(loaded, signals)
        finally:
            logging.close()
    return signals.finish()


async def _serve(loaded: Loaded, signals: Signals) -> None:
    restrict_files(loaded.settings)
    app = App(loaded)
    signals.reload_by(app.reload)
    if await signals.unless_stopped(app.start()):
        tune_gc()
        await signals.stop.wait()
        await app.stop()


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
    if await asyncio.to_thread(lambda: revision(path) == head() or create_new(path)):
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
    if not migration.returncode:
        sys.stderr.write(stderr.decode(errors="replace"))  # its warnings
    else:
        why = stderr.decode(errors="replace").strip().splitlines()[-1:] or [
            f"exit code {migration.returncode}"
        ]
        raise OSError(f"the order database could not be migrated: {why[0]}")


def create_new(path: Path) -> bool:
    """Create the tables if the file is new; whether it was. Raises OSError for an unusable file."""
    try:
        return create(path)
    except sqlite3.DatabaseError as damaged:
        raise OSError(f"the order database {path} can't be used: {damaged}") from damaged


def revision(path: Path) -> str:
    """Return the schema's revision, empty if there is none. Raises OSError unless it is a database."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(path)) as connection:
            named = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            if not connection.execute(named).fetchone():
                return ""
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as damaged:
        raise OSError(f"the order database {path} can't be used: {damaged}") from damaged
    return row[0] if row else ""
