"""One connection to MySQL, MariaDB or TiDB: its address, its statements with `?`, and its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncmy
from asyncmy import errors
from asyncmy.constants import CR, ER

from shop_order.domain.errors import DependencyDown
from shop_order.pkg.address import join_host_port
from shop_order.pkg.log import RateLimitedLog, get_logger
from shop_order.pkg.url import EngineTls, parse_tls
from shop_order.repository.dao.engine.base import MYSQL, TIDB, Row, Session, TransactionAborted

log_failure = RateLimitedLog(get_logger("store").error)
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


@dataclass(frozen=True, slots=True)
class MysqlAddress:
    """`mysql://user:pw@host:port/db[?ssl-ca=…]`, decoded."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    tls: EngineTls | None = None

    @classmethod
    def of(cls, url: str) -> MysqlAddress:
        """Parse a URL. Raises ValueError, whose text holds no password."""
        try:
            parts = urlsplit(url)
            port = parts.port or 3306
        except ValueError as bad:
            raise ValueError("not a URL of the form mysql://user:password@host:port/db") from bad
        database = unquote(parts.path.removeprefix("/"))
        if not (parts.hostname and parts.username and database) or "/" in database:
            raise ValueError("needs user, host and database: mysql://user:password@host:port/db")
        if parts.fragment:
            raise ValueError("must have no #fragment")
        return cls(
            parts.hostname,
            port,
            unquote(parts.username),
            unquote(parts.password or ""),
            database,
            parse_tls(parts.query),
        )

    def connect_args(self) -> dict[str, Any]:
        """Return the arguments of a driver's `connect`."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": self.database,
            "charset": "utf8mb4",
            "ssl": self.tls.context() if self.tls else None,
        }

    def __str__(self) -> str:
        return f"{join_host_port(self.host, self.port)}/{self.database}"


class MysqlSession(Session):
    """A session on MySQL, MariaDB or TiDB."""

    def __init__(self, connection: asyncmy.Connection, *, writes: bool) -> None:
        self._connection = connection
        self.writes = writes
        # TiDB speaks MySQL's protocol.
        self.dialect = TIDB if "TiDB" in str(connection.get_server_info()) else MYSQL
        self.committing = False
        self.commit_check: tuple[str, Row] | None = None  # the latest of this transaction
        self._checks_at: dict[str, tuple[str, Row] | None] = {}  # at each savepoint

    @classmethod
    async def open(cls, address: MysqlAddress, *, writes: bool) -> MysqlSession:
        """Raises LostConnection, DependencyDown."""
        try:
            connection = await asyncmy.connect(
                **address.connect_args(), autocommit=False, connect_timeout=CONNECT_S
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
        self.commit_check = (sql, values)

    async def set_savepoint(self, name: str) -> None:
        self._checks_at[name] = self.commit_check
        await super().set_savepoint(name)

    async def rollback_to(self, name: str) -> None:
        await super().rollback_to(name)
        self.commit_check = self._checks_at[name]

    async def release_savepoint(self, name: str) -> None:
        """Nothing to do: the next savepoint of this name replaces it."""

    async def restart(self) -> None:
        if self.writes:
            await self.rollback()

    async def commit(self) -> None:
        """Commit. Raises LostConnection with `committing` set if the outcome is unknown."""
        self.committing = True
        await self.run("COMMIT")
        self.committing = False
        self.commit_check = None

    async def rollback(self) -> None:
        """Roll the transaction back. Raises LostConnection."""
        await self.run("ROLLBACK")
        self.committing = False
        self.commit_check = None

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


# Lock wait timeout, deadlock, record changed (MariaDB), NOWAIT (MySQL); TiDB: conflicts, another schema.
_RETRYABLE = frozenset({1205, 1213, 1020, 3572, 8002, 8022, 8028, 9007})
# Shutdown, killed, gone away, lost, aborted, idle for too long, an error in COMMIT; TiDB's storage is
# unreachable: the outcome of a COMMIT is unknown.
_LOST = frozenset({
    0, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1180, 1184, 1927, 2003, 2006, 2013, 2055, 4031, 8027,
    8501, 9001, 9002, 9003, 9005,
})  # fmt: skip
# Read-only: the server by an option or as a replica, the transaction, the mode.
_READ_ONLY = frozenset({1290, 1792, 1836})
# Disk or table full, a file can't be created or written, a storage engine error, no binary log, a group that
# lost its majority.
_WRITE_REFUSED = frozenset({1, 3, 20, 1004, 1021, 1026, 1030, 1114, 1598, 3100})
# No privileges, no such database or table, out of memory, user or server busy.
_DOWN = _WRITE_REFUSED | frozenset({
    1034, 1037, 1038, 1040, 1041, 1044, 1045, 1047, 1049, 1130, 1135, 1142, 1146, 1194, 1203, 1226, 1932,
})  # fmt: skip
_NAMES = {1792: "CANT_EXECUTE_IN_READ_ONLY_TRANSACTION", 1836: "READ_ONLY_MODE"}


class LostConnection(TransactionAborted):
    """The connection was lost; if it was committing, the outcome is unknown."""


class ReadOnly(LostConnection):
    """The server is read-only; a new connection may reach one that is not."""

    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.name = error_name(error)


def error_number(error: BaseException) -> int | None:
    """Return the number given by the server or the client library."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else None


def error_name(error: BaseException) -> str:
    """Return number and name, such as `1290 OPTION_PREVENTS_STATEMENT`."""
    number = error_number(error)
    if number is None:
        return type(error).__name__
    return f"{number} {_NAMES.get(number) or _names().get(number, '')}".strip()


@cache
def _names() -> dict[int, str]:
    return {
        number: name
        for constants in (CR, ER)
        for name, number in vars(constants).items()
        if isinstance(number, int)
    }


def translate(error: Exception) -> Exception:
    """Return the error as the store handles it; an error of the statement is returned unchanged."""
    number = error_number(error)
    if not isinstance(error, errors.Error) or isinstance(error, errors.InterfaceError) or number in _LOST:
        return LostConnection(repr(error))
    if number in _RETRYABLE:
        return TransactionAborted(repr(error))
    if number not in _DOWN | _READ_ONLY:
        return error
    log_failure("database_failed", kind=str(number), code=error_name(error), error=repr(error))
    if number in _READ_ONLY:
        return ReadOnly(error)
    return DependencyDown("order_database")


def is_write_refusal(refused: object) -> bool:
    """Return whether a job's result shows that the server refuses writes in general."""
    return (
        isinstance(refused, DependencyDown) and error_number(refused.__cause__ or refused) in _WRITE_REFUSED
    )


def cause_name(refused: DependencyDown) -> str:
    """Return the name of the underlying error."""
    cause = refused.__cause__ or refused
    return cause.name if isinstance(cause, ReadOnly) else error_name(cause)
