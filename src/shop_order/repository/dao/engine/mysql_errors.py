"""Errors of MySQL, MariaDB and TiDB, grouped by how they are handled."""

from __future__ import annotations

from functools import cache

from asyncmy import errors
from asyncmy.constants import CR, ER

from shop_order.domain.errors import DependencyDown
from shop_order.pkg.log import RateLimitedLog, get_logger
from shop_order.repository.dao.engine.base import TransactionAborted

log_failure = RateLimitedLog(get_logger("store").error)

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
