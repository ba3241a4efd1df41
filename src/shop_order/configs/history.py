"""Every accepted load, in the table `config_history` of the order database; secrets are masked."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shop_order.configs.load import Loaded
from shop_order.configs.show import document, masked_again


class Records(Protocol):
    """A connection to the order database, whichever it is."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Any:
        """A statement with `?`; the cursor over its rows."""


class UnknownEntry(LookupError):
    """There is no entry with this number."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted load; `created_ms` in epoch milliseconds."""

    id: int
    digest: str
    source: str
    created_ms: int


def record(connection: Records, loaded: Loaded, now_ms: int) -> bool:
    """Adds the load unless the newest entry is equal; tells whether it did. The caller commits."""
    content = document(loaded.settings)
    digest = hashlib.sha256(content.encode()).hexdigest()
    newest = connection.execute("SELECT digest FROM config_history ORDER BY id DESC LIMIT 1").fetchone()
    if newest is not None and newest[0] == digest:
        return False
    connection.execute(
        "INSERT INTO config_history (content, digest, source, created_ms) VALUES (?, ?, ?, ?)",
        (content, digest, loaded.source, now_ms),
    )
    return True


def entries(connection: Records, limit: int = 50) -> list[Entry]:
    """The newest entries first."""
    rows = connection.execute(
        "SELECT id, digest, source, created_ms FROM config_history ORDER BY id DESC LIMIT ?", (limit,)
    )
    return [Entry(*row) for row in rows]


def content_of(connection: Records, entry_id: int) -> str:
    """The YAML of an entry, masked once more: an earlier version masked less. Raises UnknownEntry."""
    row = connection.execute("SELECT content FROM config_history WHERE id = ?", (entry_id,)).fetchone()
    if row is None:
        raise UnknownEntry(f"the history has no entry {entry_id}")
    return masked_again(str(row[0]))
