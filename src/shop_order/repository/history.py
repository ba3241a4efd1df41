"""A short connection to the table of accepted configurations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol


class Records(Protocol):
    """A connection that runs statements with `?` for values."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Any:
        """Run a statement; return the cursor over its rows."""


class HistoryUnreadable(OSError):
    """The order database, or its table of configurations, can't be used."""


@contextmanager
def open_history(url: str, *, writes: bool) -> Iterator[Records]:
    """Connect to the order database of `DB__URL`; commit at the end. Raises HistoryUnreadable."""
    if url.startswith("mysql://"):
        with _on_server(url) as records:
            yield records
        return
    try:
        with closing(_file(Path(url.removeprefix("sqlite:///")), writes)) as connection:
            yield connection
            if writes:
                connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise HistoryUnreadable(str(error)) from error


def _file(path: Path, writes: bool) -> sqlite3.Connection:
    if not writes:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    from shop_order.repository.dao.engine.sqlite import connect

    connection = connect(path, writes=True)
    connection.execute("BEGIN IMMEDIATE")
    return connection


class _Server:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        self._cursor.execute(sql.replace("?", "%s"), tuple(values))
        return self._cursor


@contextmanager
def _on_server(url: str) -> Iterator[Records]:
    import pymysql

    from shop_order.repository.dao.engine.mysql_session import MysqlAddress

    at = MysqlAddress.of(url)
    try:
        with pymysql.connect(**at.connect_args(), connect_timeout=5, read_timeout=5) as connection:
            yield _Server(connection.cursor())
            connection.commit()
    except (pymysql.err.MySQLError, OSError) as error:
        raise HistoryUnreadable(str(error)) from error
