"""The order database under test: an SQLite file, or a new database on a MySQL or MariaDB server."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import uvloop

from bench import bare, machine
from shop_order.repository.dao.engine.mysql_session import MysqlAddress
from shop_order.repository.schema import migrate

SQLITE = "sqlite"


class Database(Protocol):
    """The operations that the benchmark needs."""

    name: str

    def environ(self) -> Mapping[str, str]:
        """Environment variables that point the service at this database."""

    def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """The rows of a query."""

    def bare(self, per_commit: int, seconds: float) -> tuple[float, float]:
        """Orders per second, and CPU microseconds per order, of the bare loop."""

    def server_pids(self) -> Sequence[int]:
        """The database's own processes on this machine."""

    def drop(self) -> None:
        """Drop the database."""


class SqliteFile:
    """The file that the service creates in its data directory."""

    name = SQLITE

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "order" / "order.db"

    def environ(self) -> Mapping[str, str]:
        return {}

    def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def bare(self, per_commit: int, seconds: float) -> tuple[float, float]:
        path = self._folder / f"bare-{per_commit}.db"
        migrate(f"sqlite:///{path}")
        return bare.measure_inserts(path, per_commit=per_commit, seconds=seconds)

    def server_pids(self) -> Sequence[int]:
        return ()

    def drop(self) -> None:
        """Nothing: the file is removed with its folder."""


class MysqlDatabase:
    """A new database on the server that `server` names; its user must be allowed to create it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._database = f"shop_bench_{secrets.token_hex(4)}"
        self._url = urlunsplit(urlsplit(server)._replace(path=f"/{self._database}"))
        self._execute(server, f"CREATE DATABASE {self._database}")
        migrate(self._url)
        (version,) = self.rows("SELECT version()")[0]
        self.name = "mariadb" if "MariaDB" in version else "mysql"

    def environ(self) -> Mapping[str, str]:
        return {"SHOP_ORDER_DB__URL": self._url}

    def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        return self._execute(self._url, sql)

    def bare(self, per_commit: int, seconds: float) -> tuple[float, float]:
        from bench import bare_mysql  # needs the driver, an extra

        scratch = MysqlDatabase(self._server)
        try:
            return uvloop.run(
                bare_mysql.measure_inserts(scratch._url, per_commit=per_commit, seconds=seconds)
            )
        finally:
            scratch.drop()

    def server_pids(self) -> Sequence[int]:
        (file,) = self.rows("SELECT @@pid_file")[0]
        return machine.pids_in(Path(file))

    def drop(self) -> None:
        self._execute(self._server, f"DROP DATABASE {self._database}")

    @staticmethod
    def _execute(url: str, sql: str) -> Sequence[tuple[Any, ...]]:
        import pymysql

        at = MysqlAddress.of(url)
        connection = pymysql.connect(
            host=at.host,
            port=at.port,
            user=at.user,
            password=at.password,
            database=at.database or None,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())


def database(url: str, folder: Path) -> Database:
    """An empty database for `--db`."""
    return SqliteFile(folder) if url == SQLITE else MysqlDatabase(url)
