"""Serve until a signal asks to stop."""

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
from shop_order.cmd.run.file_permissions import close_to_others
from shop_order.cmd.run.signals import Signals
from shop_order.configs import Loaded
from shop_order.configs.engines import sqlite_path
from shop_order.repository.schema import create, head

GARBAGE = 20_000  # new objects before a collection; the default of 700 costs 5 % of a busy server


async def serve_until_stopped(loaded: Loaded) -> int:
    """Serve, and return the exit code. Raises what refuses a start."""
    signals = Signals()
    if await signals.unless_stopped(ensure_schema(loaded)):
        logging = open_log(loaded.settings)
        try:
            await _serve(loaded, signals)
        finally:
            logging.close()
    return signals.over()


async def _serve(loaded: Loaded, signals: Signals) -> None:
    close_to_others(loaded.settings)
    app = App(loaded)
    signals.reload_by(app.reload)
    if await signals.unless_stopped(app.start()):
        settle_memory()
        await signals.stop.wait()
        await app.stop()


def settle_memory() -> None:
    """Exclude what lives as long as the process from garbage collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)


async def ensure_schema(loaded: Loaded) -> None:
    """Create or migrate the tables of the embedded database. Raises OSError if that fails.

    Old tables are migrated in a separate process: Alembic would stay in the server's memory.
    """
    if not loaded.settings.db.url.startswith("sqlite:"):
        return  # a shared database is migrated by `shop-order migrate`, before the first of its processes
    path = Path(sqlite_path(loaded.settings.db.url))
    if await asyncio.to_thread(lambda: revision(path) == head() or created(path)):
        return
    code = f"from shop_order.repository.schema import migrate; migrate({f'sqlite:///{path}'!r})"
    migration = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
    )
    try:
        _, said = await migration.communicate()
    finally:
        if migration.returncode is None:  # it is one transaction: nothing remains of it
            migration.terminate()
            await migration.wait()
    if not migration.returncode:
        sys.stderr.write(said.decode(errors="replace"))  # its warnings
    else:
        why = said.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {migration.returncode}"]
        raise OSError(f"the order database could not be migrated: {why[0]}")


def created(path: Path) -> bool:
    """Create the tables in a new file; whether it was new. Raises OSError for a file that can't be used."""
    try:
        return create(path)
    except sqlite3.DatabaseError as damaged:
        raise OSError(f"the order database {path} can't be used: {damaged}") from damaged


def revision(path: Path) -> str:
    """The schema's revision, empty if there is none. Raises OSError for a file that is not a database."""
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
