"""One connection to MySQL or MariaDB: statements with `?`; a transaction at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import asyncmy
from asyncmy import errors

from shop_order.repository.dao.mysql.address import Address
from shop_order.repository.dao.mysql.trouble import told
from shop_order.repository.dao.rows import Row

CONNECT_S = 3
LOCK_WAIT_S = 5
SILENT_S = 60  # then the server ends a writer: one that is frozen in a transaction keeps its rows no longer
# Double quotes name columns, as in SQLite. Without NO_BACKSLASH_ESCAPES: the client escapes by backslash.
SQL_MODE = (
    "ANSI_QUOTES,ONLY_FULL_GROUP_BY,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)
_SETTING = (
    f"SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_WAIT_S}"
)
_WRITES = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
_READS = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"  # TiDB has no READ ONLY


class Session:
    """A transaction at a time on one connection; nobody else may use it meanwhile."""

    def __init__(self, connection: asyncmy.Connection) -> None:
        self._connection = connection
        self.committing = False
        self._proof: tuple[str, Row] | None = None

    @classmethod
    async def open(cls, address: Address, *, writes: bool) -> Session:
        """Raises LostConnection, DependencyDown."""
        try:
            connection = await asyncmy.connect(
                host=address.host,
                port=address.port,
                user=address.user,
                password=address.password,
                db=address.database,
                ssl=address.tls.context() if address.tls else None,
                charset="utf8mb4",
                autocommit=False,
                connect_timeout=CONNECT_S,
            )
        except (errors.Error, OSError, EOFError) as failed:
            raise told(failed) from failed
        session = cls(connection)
        try:
            await session.run(f"{_SETTING}, wait_timeout = {SILENT_S}" if writes else _SETTING)
            await session.run(_WRITES if writes else _READS if session.is_tidb else f"{_READS}, READ ONLY")
            await session.rollback()
        except BaseException:
            session.drop()
            raise
        return session

    @property
    def is_tidb(self) -> bool:
        """Whether it is TiDB that speaks MySQL's protocol."""
        return "TiDB" in str(self._connection.get_server_info())

    async def all(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Every row."""
        return (await self._execute(sql, values))[1]

    async def first(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """The first row."""
        found = await self.all(sql, values)
        return found[0] if found else None

    async def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """How many rows were changed; a row that already was as asked does not count."""
        return (await self._execute(sql, values))[0]

    async def _execute(self, sql: str, values: Sequence[Any]) -> tuple[int, Sequence[Row]]:
        cursor: Any = self._connection.cursor()
        try:
            await cursor.execute(bound(sql), tuple(values) if values else None)
        except (errors.Error, OSError, EOFError) as failed:
            raise told(failed) from failed
        return cursor.rowcount, await cursor.fetchall() if cursor.description else ()

    def prove(self, sql: str, values: Row) -> None:
        """How to find out later whether this transaction was committed: it was if that finds a row."""
        self._proof = (sql, values)

    @property
    def proof(self) -> tuple[str, Row] | None:
        """The latest one of this transaction."""
        return self._proof

    def disprove(self, earlier: tuple[str, Row] | None) -> None:
        """What the latest proof stood for was undone."""
        self._proof = earlier

    async def commit(self) -> None:
        """Raises LostConnection with `committing` set if nobody knows."""
        self.committing = True
        await self.run("COMMIT")
        self.committing = False
        self._proof = None

    async def rollback(self) -> None:
        """Undo everything since the last commit. Raises LostConnection."""
        await self.run("ROLLBACK")
        self.committing = False
        self._proof = None

    def drop(self) -> None:
        """Close at once; the server undoes what was not committed."""
        self._connection.close()

    async def close(self) -> None:
        """Say good-bye."""
        try:
            await self._connection.ensure_closed()
        except (errors.Error, OSError, EOFError):
            self.drop()


@lru_cache(maxsize=1024)
def bound(sql: str) -> str:
    """The statement with the driver's placeholders; ours never stand inside a text."""
    return sql.replace("?", "%s")
