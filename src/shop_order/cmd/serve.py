"""Serving until a signal says stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from shop_order.cmd.app import App
from shop_order.cmd.opening import open_log
from shop_order.configs import Loaded
from shop_order.configs.engines import sqlite_path
from shop_order.pkg.log import get_logger
from shop_order.repository.schema import HEAD, create

log = get_logger("serve")
GARBAGE = 20_000  # new objects before the collector looks; the default of 700 costs 5 % of a busy server


async def serve_until_stopped(loaded: Loaded) -> int:
    """Serve; the exit code. Raises what refuses a start."""
    ensure_schema(loaded)
    logging = open_log(loaded.settings)
    try:
        app = App(loaded)
        stop = on_signals(app)
        await app.start()
        settle_memory()
        await stop.wait()
        await app.stop()
        return 0
    finally:
        logging.close()


def settle_memory() -> None:
    """Leave what lives as long as the process out of the collector's rounds, and make these rarer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)


def on_signals(app: App) -> asyncio.Event:
    """An event that TERM and INT set; HUP reloads."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    loop.add_signal_handler(signal.SIGHUP, app.reload)
    return stop


def ensure_schema(loaded: Loaded) -> None:
    """Make or mend the embedded database's tables. Raises OSError if that fails.

    Old tables are mended in a process of its own: Alembic would stay in the server's memory for nothing.
    """
    if not loaded.settings.db.url.startswith("sqlite:"):
        return  # a shared database is migrated by `shop-order migrate`, before the first of its processes
    path = Path(sqlite_path(loaded.settings.db.url))
    if revision(path) == HEAD or created(path):
        return
    code = f"from shop_order.repository.schema import migrate; migrate({f'sqlite:///{path}'!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    sys.stderr.write("" if done.returncode else done.stderr)  # what it found
    if done.returncode:
        raise OSError(f"the order database could not be migrated: {done.stderr.strip().splitlines()[-1]}")


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
