"""What the SQL engines write differently. Any other statement is one text for all of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from shop_order.repository.schema import GUARDS, MYSQL_GUARDS


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words of one engine."""

    name: str
    one_writer: bool  # transactions that write run one after the other: no row needs a lock
    max_rows: int  # of one INSERT, whose text is kept for the next one of its length
    insert_new: str  # leaves out rows that are there already
    unless_there: str  # ends an INSERT: a row that is there already stays as it is, and does not count
    for_update: str
    by_primary_key: str  # after a table: use no other index
    range_of_status: bool  # a status alone must be asked for as a range
    names: tuple[str, ...]  # statements that find the names of tables and triggers
    guards: frozenset[str]  # the triggers that must exist

    def beyond(self, column: str, sign: str, value: object, id: int) -> tuple[str, list[object]]:
        """A condition with its values: (`column`, `id`) lies beyond these, in the direction of `sign`."""
        if self.one_writer:
            return f"({column}, id) {sign} (?, ?)", [value, id]
        # Written out: a comparison of pairs is no range to MySQL's optimizer.
        return f"{column} {sign}= ? AND ({column} {sign} ? OR id {sign} ?)", [value, value, id]

    def among(self, column: str, ids: Collection[int]) -> tuple[str, Sequence[object]]:
        """A condition with its values: `column` is one of these; on a file one text serves any number."""
        if self.one_writer:
            return f"{column} IN (SELECT value FROM json_each(?))", [json.dumps(sorted(ids))]
        return f"{column} IN ({', '.join('?' * len(ids))})", sorted(ids)


SQLITE = Dialect(
    name="sqlite",
    one_writer=True,
    max_rows=32,
    insert_new="INSERT OR IGNORE",
    unless_there=" ON CONFLICT DO NOTHING",
    for_update="",
    by_primary_key="",
    range_of_status=False,
    names=("SELECT name FROM sqlite_master",),
    guards=GUARDS,
)
MYSQL = Dialect(
    name="mysql",
    one_writer=False,
    max_rows=512,
    insert_new="INSERT IGNORE",
    unless_there=" ON DUPLICATE KEY UPDATE created_ms = created_ms",  # locks it; IGNORE hides faults
    for_update=" FOR UPDATE",  # MariaDB has no FOR SHARE
    by_primary_key=" FORCE INDEX (PRIMARY)",
    range_of_status=True,
    names=(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
        "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()",
    ),
    guards=MYSQL_GUARDS,
)
TIDB = replace(MYSQL, guards=frozenset())  # no triggers there: the chain of hashes guards (decision tidb)
