"""How a table's columns hold the fields of an entity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from shop_order.repository.dao.engine.base import Row

T = TypeVar("T")
Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the entity's field it holds, and how it is written and read.

    A field may be nested (`address.phone`). `changes`: an UPDATE sets it. `derived`: computed from other
    fields, and not read back.
    """

    name: str
    field: str = ""  # the column's name if empty
    write: Convert | None = None
    read: Convert | None = None
    changes: bool = False
    derived: bool = False


class Columns:
    """The columns that hold an entity, in the order of their values."""

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
        """Return the entity's values."""
        values = list(self.row_of(entity))
        for n, write in self._write:
            values[n] = write(values[n])
        return values

    def changed(self, entity: object) -> Row:
        """Return the values of `changing`."""
        assert self._changing
        changed: Row = self._changing(self.row(entity))
        return changed

    def reader(self, make: Callable[..., T], *more: str, **parts: Callable[..., Any]) -> Callable[..., T]:
        """Return a function that makes the entity from a row and the arguments named `more`.

        `parts` make the nested fields. The function is compiled, since rows are read on every call.
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
        read: Callable[..., T] = eval(source, names)  # noqa: S307 - made of names in this package
        return read

    def of(self, name: str) -> Callable[[Row], Any]:
        """Return a function that gets one column of a row."""
        return itemgetter(self.names.index(name))

    def prefixed(self, alias: str) -> str:
        """Return the columns, prefixed with the table's alias."""
        return ", ".join(f"{alias}.{name}" for name in self.names)
