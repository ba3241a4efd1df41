"""Serving until a signal says stop."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import closing
from pathlib import Path

from shop_order.cmd.run.app import App
from shop_order.cmd.run.opening import open_log
from shop_order.cmd.run.private import close_to_others
from shop_order.cmd.run.signals import Signals
from shop_order.configs import Loaded
from shop_order.configs.engines import sqlite_path
from shop_order.repository.schema import HEAD, create

GARBAGE = 20_000  # new objects before the collector looks; the default of 700 costs 5 % of a busy server


async def serve_until_stopped(loaded: Loaded) -> int:
    """Serve; the exit code. Raises what refuses a start."""
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
    """Leave what lives as long as the process out of the collector's rounds, and make these rarer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)


async def ensure_schema(loaded: Loaded) -> None:
    """Make or mend the embedded database's tables. Raises OSError if that fails.

    Old tables are mended in a process of its own: Alembic would stay in the server's memory for nothing.
    """
    if not loaded.settings.db.url.startswith("sqlite:"):
        return  # a shared database is migrated by `shop-order migrate`, before the first of its processes
    path = Path(sqlite_path(loaded.settings.db.url))
    if await asyncio.to_thread(lambda: revision(path) == HEAD or created(path)):
        return
    code = f"from shop_order.repository.schema import migrate; migrate({f'sqlite:///{path}'!r})"
    mending = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
    )
    try:
        _, said = await mending.communicate()
    finally:
        if mending.returncode is None:  # it is one transaction: nothing of it stays
            mending.terminate()
            await mending.wait()
    if not mending.returncode:
        sys.stderr.write(said.decode(errors="replace"))  # what it found
    else:
        why = said.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {mending.returncode}"]
        raise OSError(f"the order database could not be migrated: {why[0]}")


def created(path: Path) -> bool:
    """Whether the file was new, and has its tables now. Raises OSError for what can't be used."""
    try:
        return create(path)
    except sqlite3.DatabaseError as damaged:
        raise OSError(f"the order database {path} can't be used: {damaged}") from damaged


def revision(path: Path) -> str:
    """The schema's revision, empty without one. Raises OSError for what is no database."""
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
