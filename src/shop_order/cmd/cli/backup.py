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

from shop_order.cmd.cli.command import loaded, refuse
from shop_order.cmd.run.startup import BY_SIGNAL

BUSY_S = 30.0


class BackupFailed(Exception):
    """No file was left behind; the text is one line."""


def backup(
    to: Annotated[Path, typer.Argument(metavar="TO", help="The new file; one that exists is never touched.")],
) -> None:
    """Copy the order database while the service runs, and check the copy.

    The order log is not copied: `shop-order stats rebuild` makes it anew from the history.
    """
    from shop_order.configs.engines import sqlite_path

    url = loaded().settings.db.url
    if not url.startswith("sqlite:"):
        from shop_order.repository.dao.engine.mysql_address import Address

        at = Address.of(url)
        host, user, database, file = map(quoted, (at.host, at.user, at.database, str(to)))
        refuse(
            "DB__URL is mysql: its own client copies it: (umask 077; mysqldump"
            f" -h {host} -P {at.port} -u {user} -p --single-transaction --no-tablespaces {database} > {file})"
        )
    before = signal.signal(signal.SIGTERM, stopped)
    try:
        orders = copy(Path(sqlite_path(url)), to)
    except BackupFailed as failed:
        refuse(str(failed))
    finally:
        signal.signal(signal.SIGTERM, before)
    typer.echo(f"{to}: {to.stat().st_size} bytes, {orders} orders, checked")


def stopped(number: int, frame: FrameType | None) -> NoReturn:
    """Asked to stop: remove the partial copy, as at an interrupt."""
    raise SystemExit(BY_SIGNAL + number)


def copy(source: Path, to: Path) -> int:
    """Copy; the number of orders in the copy. Raises BackupFailed."""
    if not source.is_file():
        raise BackupFailed(f"the order database {source} does not exist")
    if os.path.lexists(to):  # also a dangling link
        raise BackupFailed(f"{to} exists already: say a new name")
    draft = to.with_name(f".{to.name}.{os.getpid()}.part")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        orders = _copied(source, draft)
        _stored(draft, os.O_RDWR)
        _named(draft, to)
        _stored(to.parent, os.O_RDONLY)
    except FileExistsError:
        raise BackupFailed(f"{to} exists already: say a new name") from None
    except OSError as failed:
        raise BackupFailed(f"{to} can't be written: {failed.strerror}") from failed
    except sqlite3.Error as failed:
        raise BackupFailed(f"{source} can't be copied to {to}: {failed}") from failed
    finally:
        for file in (draft, *(draft.with_name(draft.name + end) for end in ("-journal", "-wal", "-shm"))):
            with suppress(OSError):
                file.unlink()
    return orders


def _copied(source: Path, draft: Path) -> int:
    # All pages in one step: one snapshot, which a concurrent writer restarts at most once.
    with (
        closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=BUSY_S)) as theirs,
        closing(sqlite3.connect(draft, isolation_level=None)) as ours,
    ):
        theirs.execute("SELECT version_num FROM alembic_version").fetchone()  # it is an order database
        theirs.backup(ours, pages=-1)
        ours.execute("PRAGMA journal_mode = DELETE")  # so that it stays one file when it is opened
        said = [row[0] for row in ours.execute("PRAGMA integrity_check(5)")]
        if said != ["ok"]:
            raise BackupFailed(f"{source} is damaged, nothing was kept: {'; '.join(map(str, said))}")
        return int(ours.execute("SELECT count(*) FROM order_info").fetchone()[0])


def _named(draft: Path, to: Path) -> None:
    try:
        os.link(draft, to)  # unlike a rename it never replaces a file that was created meanwhile
    except FileExistsError:
        raise
    except OSError:  # a disk without links, such as an exFAT stick
        if os.path.lexists(to):
            raise FileExistsError from None
        os.rename(draft, to)


def _stored(path: Path, how: int) -> None:
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
