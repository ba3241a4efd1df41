"""What MySQL, MariaDB and TiDB say when something can't be done, sorted by what is to be done then."""

from __future__ import annotations

from functools import cache

from asyncmy import errors
from asyncmy.constants import CR, ER

from shop_order.domain.errors import DependencyDown
from shop_order.pkg.log import RateLimitedLog, get_logger
from shop_order.repository.dao.engine.base import Interrupted

failed = RateLimitedLog(get_logger("store").error)

# Lock wait timeout, deadlock, record changed (MariaDB), NOWAIT (MySQL); TiDB: conflicts, another schema.
_AGAIN = frozenset({1205, 1213, 1020, 3572, 8002, 8022, 8028, 9007})
# Shutdown, killed, gone away, lost, cut off, silent for too long, an error in COMMIT; TiDB's own stores are
# out of reach: after a COMMIT nobody knows.
_LOST = frozenset({
    0, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1180, 1184, 1927, 2003, 2006, 2013, 2055, 4031, 8027,
    8501, 9001, 9002, 9003, 9005,
})  # fmt: skip
# This server is read-only, by an option or as a replica; a transaction of its is; its mode is.
_READ_ONLY = frozenset({1290, 1792, 1836})
# Disk or table full, a file can't be written or made, the storage engine's trouble, no binary log, hooks of a
# group that lost its majority.
_NO_ROOM = frozenset({1, 3, 20, 1004, 1021, 1026, 1030, 1114, 1598, 3100})
# No rights, no database or table, memory, user or server busy.
_DOWN = _NO_ROOM | frozenset({
    1034, 1037, 1038, 1040, 1041, 1044, 1045, 1047, 1049, 1130, 1135, 1142, 1146, 1194, 1203, 1226, 1932,
})  # fmt: skip
_NAMES = {1792: "CANT_EXECUTE_IN_READ_ONLY_TRANSACTION", 1836: "READ_ONLY_MODE"}


class LostConnection(Interrupted):
    """The connection broke; if it was committing, nobody knows whether it did."""


class ReadOnly(LostConnection):
    """This server takes no writes at present: another connection may reach one that does."""

    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.name = name_of(error)


def number_of(error: BaseException) -> int | None:
    """The server's number for it, or the client's."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else None


def name_of(error: BaseException) -> str:
    """Number and name, such as `1290 OPTION_PREVENTS_STATEMENT`."""
    number = number_of(error)
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


def told(error: Exception) -> Exception:
    """The error as those above treat it; what is no fault of the server's stays as it is."""
    number = number_of(error)
    if not isinstance(error, errors.Error) or isinstance(error, errors.InterfaceError) or number in _LOST:
        return LostConnection(repr(error))
    if number in _AGAIN:
        return Interrupted(repr(error))
    if number not in _DOWN | _READ_ONLY:
        return error
    failed("database_failed", kind=str(number), code=name_of(error), error=repr(error))
    if number in _READ_ONLY:
        return ReadOnly(error)
    return DependencyDown("order_database")


def no_room(refused: object) -> bool:
    """Whether a job's result is that the server took no write, and hardly takes others."""
    return isinstance(refused, DependencyDown) and number_of(refused.__cause__ or refused) in _NO_ROOM


def why(refused: DependencyDown) -> str:
    """The name of what is behind it."""
    cause = refused.__cause__ or refused
    return cause.name if isinstance(cause, ReadOnly) else name_of(cause)
