"""What SQLite says when its file can't be used: by name, and whether it takes writes."""

from __future__ import annotations

import sqlite3

from shop_order.domain.errors import DependencyDown
from shop_order.domain.problems import Dependency
from shop_order.pkg.log import get_logger
from shop_order.pkg.log.rarely import Rarely

failed = Rarely(get_logger("store").error)
# Full, read-only, I/O, can't open, no rights, damaged, no database, locked by another, locks don't work.
_OF_WRITES = frozenset({13, 8, 10, 14, 3, 11, 26, 5, 15})
_FULL, _BUSY = 13, 5


def of_the_file(error: BaseException) -> bool:
    """The file can't be used (full, unreadable, damaged): no statement of ours is to blame."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def code_of(error: BaseException | None) -> int:
    """The primary result code; 1, a plain error, where there is none."""
    return int(getattr(error, "sqlite_errorcode", 1)) & 0xFF


def name_of(error: BaseException | None) -> str:
    """As SQLite's manual has it, such as SQLITE_IOERR_WRITE."""
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def refuses_writes(error: BaseException | None) -> bool:
    """Whether other writes will hardly fare better."""
    return isinstance(error, sqlite3.Error) and code_of(error) in _OF_WRITES


def spoils_connection(error: BaseException | None) -> bool:
    """Whether another connection may do better: a full disk or a lock is nothing of this one's."""
    return refuses_writes(error) and code_of(error) not in (_FULL, _BUSY)


def down(error: Exception, what: Dependency = "order_database", where: str = "") -> DependencyDown:
    """What the caller is told of it; the operator is told more. SQLite's own texts hold no values."""
    code = name_of(error)
    failed("database_failed", kind=f"{what} {code}", database=what, code=code, error=repr(error))
    told = DependencyDown(what, where)
    told.__cause__ = error
    return told
