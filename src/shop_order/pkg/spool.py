"""A list, a set and groups on disk, for what may be too large for memory: SQLite's private temporary files.

Such a file has no name, and goes when its owner is collected or the process is killed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")
FLUSH = 500  # rows that are kept until they are written
CACHE_KIB = 8192


class DiskList(Sequence[T], Generic[T]):
    """A list of rows of texts and numbers, read back as objects; read it in slices.

    Threads may use it, but only one at a time. `grown` is called with the length after each flush.
    """

    def __init__(
        self, make: Callable[[Sequence[Any]], T], columns: int, grown: Callable[[int], None] | None = None
    ) -> None:
        names = [f"c{n}" for n in range(columns)]
        self._make = make
        self._grown = grown
        self._db = _temporary()
        self._db.execute(f"CREATE TABLE one (at INTEGER PRIMARY KEY, {', '.join(names)})")
        self._insert = f"INSERT INTO one ({', '.join(names)}) VALUES ({', '.join('?' * columns)})"
        self._select = f"SELECT {', '.join(names)} FROM one WHERE at > ? AND at <= ? ORDER BY at"
        self._waiting: list[Sequence[str | int]] = []
        self._length = 0

    def append(self, row: Sequence[str | int]) -> None:
        """Add a row at the end."""
        self._waiting.append(row)
        self._length += 1
        if len(self._waiting) >= FLUSH:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._db.executemany(self._insert, self._waiting)
            self._waiting.clear()
            if self._grown:
                self._grown(self._length)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        self._flush()
        if isinstance(at, slice):
            begin, end, step = at.indices(self._length)
            if step != 1:
                raise ValueError("only whole slices")
            return [self._make(row) for row in self._db.execute(self._select, (begin, end))]
        if not -self._length <= at < self._length:
            raise IndexError(at)
        begin = at % self._length
        return self._make(self._db.execute(self._select, (begin, begin + 1)).fetchone())


class DiskSet:
    """A set of texts. Threads may use it, but only one at a time."""

    def __init__(self) -> None:
        self._db = _temporary()
        self._db.execute("CREATE TABLE one (text TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, text: str) -> bool:
        """Add it; return whether it is new."""
        return self._db.execute("INSERT OR IGNORE INTO one VALUES (?)", (text,)).rowcount == 1

    def __contains__(self, text: str) -> bool:
        return self._db.execute("SELECT 1 FROM one WHERE text = ?", (text,)).fetchone() is not None


class DiskGroups:
    """Rows of `columns` texts and numbers by key; each group is taken out once."""

    def __init__(self, columns: int) -> None:
        self._names = ", ".join(f"c{n}" for n in range(columns))
        self._db = _temporary()
        self._db.execute(f"CREATE TABLE one (of TEXT, {self._names})")
        self._db.execute("CREATE INDEX of_key ON one (of)")
        self._insert = f"INSERT INTO one VALUES (?{', ?' * columns})"

    def add(self, key: str, *row: str | int) -> None:
        """Add a row to the group of this key."""
        self._db.execute(self._insert, (key, *row))

    def take(self, key: str) -> Sequence[tuple[Any, ...]]:
        """Remove the group; return its rows in the sequence in which they were added."""
        found = self._db.execute(f"SELECT {self._names} FROM one WHERE of = ? ORDER BY rowid", (key,))
        rows = found.fetchall()
        self._db.execute("DELETE FROM one WHERE of = ?", (key,))
        return rows

    def keys(self, limit: int) -> list[str]:
        """The first keys whose groups were not taken."""
        found = self._db.execute("SELECT DISTINCT of FROM one ORDER BY of LIMIT ?", (limit,))
        return [key for (key,) in found]


def _temporary() -> sqlite3.Connection:
    db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute("BEGIN")
    return db
