"""One connection to MySQL or MariaDB: statements with `?`; a transaction at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import asyncmy
from asyncmy import errors

from shop_order.repository.dao.engine.base import MYSQL, TIDB, Row
from shop_order.repository.dao.engine.mysql_address import MysqlAddress
from shop_order.repository.dao.engine.mysql_errors import translate

CONNECT_S = 3
LOCK_WAIT_S = 5
IDLE_S = 60  # wait_timeout of a writer: one that is frozen in a transaction must not keep its locks
# Double quotes name columns, as in SQLite. Without NO_BACKSLASH_ESCAPES: the client escapes by backslash.
SQL_MODE = (
    "ANSI_QUOTES,ONLY_FULL_GROUP_BY,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)
_SETTINGS = (
    f"SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_WAIT_S}"
)
_WRITES = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
_READS = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"  # TiDB has no READ ONLY


class MysqlSession:
    """See `engine.base.Session`."""

    def __init__(self, connection: asyncmy.Connection, *, writes: bool) -> None:
        self._connection = connection
        self._writes = writes
        # TiDB speaks MySQL's protocol.
        self.dialect = TIDB if "TiDB" in str(connection.get_server_info()) else MYSQL
        self.committing = False
        self._commit_check: tuple[str, Row] | None = None
        self._checks_at: dict[str, tuple[str, Row] | None] = {}  # at each savepoint

    @classmethod
    async def open(cls, address: MysqlAddress, *, writes: bool) -> MysqlSession:
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
            raise translate(failed) from failed
        session = cls(connection, writes=writes)
        try:
            await session.run(f"{_SETTINGS}, wait_timeout = {IDLE_S}" if writes else _SETTINGS)
            reads = _READS if session.dialect is TIDB else f"{_READS}, READ ONLY"
            await session.run(_WRITES if writes else reads)
            await session.rollback()
        except BaseException:
            session.drop()
            raise
        return session

    async def all(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        return (await self._execute(sql, values))[1]

    async def first(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        found = await self.all(sql, values)
        return found[0] if found else None

    async def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        return (await self._execute(sql, values))[0]

    async def _execute(self, sql: str, values: Sequence[Any]) -> tuple[int, Sequence[Row]]:
        cursor: Any = self._connection.cursor()
        try:
            await cursor.execute(with_placeholders(sql), tuple(values) if values else None)
        except (errors.Error, OSError, EOFError) as failed:
            raise translate(failed) from failed
        return cursor.rowcount, await cursor.fetchall() if cursor.description else ()

    def set_commit_check(self, sql: str, values: Row) -> None:
        self._commit_check = (sql, values)

    @property
    def commit_check(self) -> tuple[str, Row] | None:
        """The latest commit check of this transaction."""
        return self._commit_check

    async def savepoint(self, name: str) -> None:
        if self._writes:
            self._checks_at[name] = self._commit_check
            await self.run(f"SAVEPOINT {name}")

    async def undo(self, name: str) -> None:
        if self._writes:
            await self.run(f"ROLLBACK TO SAVEPOINT {name}")
            self._commit_check = self._checks_at[name]

    async def release(self, name: str) -> None:
        """Nothing to do: the next savepoint of this name replaces it."""

    async def restart(self) -> None:
        if self._writes:
            await self.rollback()

    async def commit(self) -> None:
        """Commit. Raises LostConnection with `committing` set if the outcome is unknown."""
        self.committing = True
        await self.run("COMMIT")
        self.committing = False
        self._commit_check = None

    async def rollback(self) -> None:
        """Roll the transaction back. Raises LostConnection."""
        await self.run("ROLLBACK")
        self.committing = False
        self._commit_check = None

    def drop(self) -> None:
        """Close at once; the server rolls back."""
        self._connection.close()

    async def close(self) -> None:
        """Disconnect."""
        try:
            await self._connection.ensure_closed()
        except (errors.Error, OSError, EOFError):
            self.drop()


@lru_cache(maxsize=1024)
def with_placeholders(sql: str) -> str:
    """Return the statement with the driver's placeholders; no literal of ours contains a `?`."""
    return sql.replace("?", "%s")
