"""`shop-order backup TO`: a consistent copy of the SQLite order database, while the service runs."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from shlex import quote as quoted
from types import FrameType
from typing import Annotated, NoReturn
from urllib.parse import quote

import typer

from shop_order.cmd.cli.command import load_settings, refuse
from shop_order.cmd.run.startup import BY_SIGNAL

BUSY_S = 30.0


def backup(
    to: Annotated[Path, typer.Argument(metavar="TO", help="A new file; none is ever replaced.")],
) -> None:
    """Copy the order database while the service runs, and check the copy.

    The order log is not copied: `shop-order stats rebuild` rebuilds it from the history.
    """
    from shop_order.configs.engines import sqlite_path

    url = load_settings().settings.db.url
    if not url.startswith("sqlite:"):
        from shop_order.repository.dao.engine.mysql_session import MysqlAddress

        at = MysqlAddress.of(url)
        host, user, database, file = map(quoted, (at.host, at.user, at.database, str(to)))
        refuse(
            "DB__URL is mysql: use its own client: (umask 077; mysqldump"
            f" -h {host} -P {at.port} -u {user} -p --single-transaction --no-tablespaces {database} > {file})"
        )
    before = signal.signal(signal.SIGTERM, on_stop)
    try:
        orders = copy(Path(sqlite_path(url)), to)
    finally:
        signal.signal(signal.SIGTERM, before)
    typer.echo(f"{to}: {to.stat().st_size} bytes, {orders} orders, checked")


def on_stop(number: int, frame: FrameType | None) -> NoReturn:
    """Exit, and remove the partial copy, as at an interrupt."""
    raise SystemExit(BY_SIGNAL + number)


def copy(source: Path, to: Path) -> int:
    """Copy the database; return the number of orders in the copy. If it fails, no file is left."""
    if not source.is_file():
        refuse(f"the order database {source} does not exist")
    if os.path.lexists(to):  # also a dangling link
        refuse(f"{to} already exists: choose a new name")
    draft = to.with_name(f".{to.name}.{os.getpid()}.part")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        orders = _copy(source, draft)
        _sync(draft, os.O_RDWR)
        _publish(draft, to)
        _sync(to.parent, os.O_RDONLY)
    except FileExistsError:
        refuse(f"{to} already exists: choose a new name")
    except OSError as failed:
        refuse(f"{to} can't be written: {failed.strerror}")
    except sqlite3.Error as failed:
        refuse(f"{source} can't be copied to {to}: {failed}")
    finally:
        for file in (draft, *(draft.with_name(draft.name + end) for end in ("-journal", "-wal", "-shm"))):
            with suppress(OSError):
                file.unlink()
    return orders


def _copy(source: Path, draft: Path) -> int:
    # All pages in one step: a single snapshot, which a concurrent writer restarts at most once.
    with (
        closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=BUSY_S)) as source_db,
        closing(sqlite3.connect(draft, isolation_level=None)) as copy_db,
    ):
        source_db.execute("SELECT version_num FROM alembic_version").fetchone()  # is it an order database?
        source_db.backup(copy_db, pages=-1)
        copy_db.execute("PRAGMA journal_mode = DELETE")  # stays a single file when opened
        result = [row[0] for row in copy_db.execute("PRAGMA integrity_check(5)")]
        if result != ["ok"]:
            refuse(f"{source} is damaged, no copy was kept: {'; '.join(map(str, result))}")
        return int(copy_db.execute("SELECT count(*) FROM order_info").fetchone()[0])


def _publish(draft: Path, to: Path) -> None:
    try:
        os.link(draft, to)  # unlike a rename, never replaces a file
    except FileExistsError:
        raise
    except OSError:  # a file system without links, such as exFAT
        if os.path.lexists(to):
            raise FileExistsError from None
        os.rename(draft, to)


def _sync(path: Path, how: int) -> None:
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
