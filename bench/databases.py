"""The order database under test: its own SQLite file, or one of our own on a MySQL or MariaDB server."""

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
from shop_order.repository.dao.engine.mysql_address import MysqlAddress
from shop_order.repository.schema import migrate

SQLITE = "sqlite"


class Database(Protocol):
    """What the benchmark does with it."""

    name: str

    def environ(self) -> Mapping[str, str]:
        """Settings that lead the service to it."""

    def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """What a query finds now."""

    def bare(self, a_commit: int, seconds: float) -> tuple[float, float]:
        """Orders a second, and our CPU microseconds an order, of a loop that does nothing else."""

    def server_pids(self) -> Sequence[int]:
        """Processes of this machine that work for it alone."""

    def drop(self) -> None:
        """Remove it."""


class SqliteFile:
    """The file the service makes in its data directory."""

    name = SQLITE

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "order" / "order.db"

    def environ(self) -> Mapping[str, str]:
        return {}

    def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def bare(self, a_commit: int, seconds: float) -> tuple[float, float]:
        path = self._folder / f"bare-{a_commit}.db"
        migrate(f"sqlite:///{path}")
        return bare.stored_alone(path, a_commit=a_commit, seconds=seconds)

    def server_pids(self) -> Sequence[int]:
        return ()

    def drop(self) -> None:
        """It goes with its folder."""


class MysqlDatabase:
    """A database of our own beside the one that `server` names, whose user may make it."""

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

    def bare(self, a_commit: int, seconds: float) -> tuple[float, float]:
        from bench import bare_mysql  # needs the driver, an extra

        beside = MysqlDatabase(self._server)
        try:
            return uvloop.run(bare_mysql.stored_alone(beside._url, a_commit=a_commit, seconds=seconds))
        finally:
            beside.drop()

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
    """The one that `--db` names; an empty one."""
    return SqliteFile(folder) if url == SQLITE else MysqlDatabase(url)
