"""Between an entity and the columns of its table: a column is named once, all else is made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from shop_order.repository.dao.engine.base import Row, Session

T = TypeVar("T")
Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One stored value: the field of the entity it holds, and how it is written and read.

    A field may be one of a part (`address.phone`). `changes`: an UPDATE sets it. `derived`: it is made from
    other fields, and never read back.
    """

    name: str
    field: str = ""  # the column's name if empty
    write: Convert | None = None
    read: Convert | None = None
    changes: bool = False
    derived: bool = False


class Columns:
    """The columns of a table that an entity fills, in this order."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self.names = [column.name for column in columns]
        self.select = ", ".join(self.names)
        self.fields = [column.field or column.name for column in columns]
        self.row_of = attrgetter(*self.fields)
        self._write = [(n, column.write) for n, column in enumerate(columns) if column.write]
        changing = [n for n, column in enumerate(columns) if column.changes]
        self.changing = ", ".join(f"{self.names[n]} = ?" for n in changing)
        self._changing = itemgetter(*changing) if len(changing) > 1 else None

    def row(self, entity: object) -> Row:
        """The entity's values, in the order of the columns."""
        values = list(self.row_of(entity))
        for n, write in self._write:
            values[n] = write(values[n])
        return values

    def changed(self, entity: object) -> Row:
        """Values of `changing`."""
        assert self._changing
        changed: Row = self._changing(self.row(entity))
        return changed

    def reader(self, make: Callable[..., T], *more: str, **parts: Callable[..., Any]) -> Callable[..., T]:
        """A function that makes the entity of a row and the arguments named `more`.

        `parts` make what has dotted fields. It is compiled once: rows are read on every call.
        """
        names: dict[str, Any] = {"make": make, **parts}
        arguments = dict.fromkeys(parts, "")
        for n, (column, field) in enumerate(zip(self._columns, self.fields, strict=True)):
            value = f"row[{n}]"
            if column.read:
                names[f"read_{n}"] = column.read
                value = f"read_{n}({value})"
            part, dot, inner = field.partition(".")
            if dot:
                arguments[part] += f"{inner}={value}, "
            elif not column.derived:
                arguments[field] = value
        arguments |= {part: f"{part}({arguments[part]})" for part in parts} | {name: name for name in more}
        values = ", ".join(f"{name}={value}" for name, value in arguments.items())
        source = f"lambda {', '.join(['row', *more])}: make({values})"
        read: Callable[..., T] = eval(source, names)  # noqa: S307 - made of the names in this package
        return read

    def of(self, name: str) -> Callable[[Row], Any]:
        """Gets one column of a row."""
        return itemgetter(self.names.index(name))

    def prefixed(self, alias: str) -> str:
        """The columns of the table by its alias."""
        return ", ".join(f"{alias}.{name}" for name in self.names)


def marks(n: int) -> str:
    """So many placeholders."""
    return ", ".join("?" * n)


@lru_cache(maxsize=512)
def insertion(into: str, columns: int, size: int, otherwise: str = "") -> str:
    """The statement that inserts so many rows."""
    return f"{into} {', '.join([f'({marks(columns)})'] * size)}{otherwise}"


def insertions(
    into: str, rows: Sequence[Row], otherwise: str, max_rows: int
) -> Iterator[tuple[str, Sequence[Any]]]:
    """The statements that insert these rows, with their values."""
    for at in range(0, len(rows), max_rows):
        part = rows[at : at + max_rows]
        yield insertion(into, len(part[0]), len(part), otherwise), [*chain.from_iterable(part)]


async def insert(session: Session, into: str, rows: Sequence[Row], otherwise: str = "") -> int:
    """Insert rows by as few statements as the engine allows; how many came in."""
    done = 0
    for sql, values in insertions(into, rows, otherwise, session.dialect.max_rows):
        done += await session.run(sql, values)
    return done
