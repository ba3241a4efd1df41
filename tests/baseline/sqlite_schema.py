"""`make schema`: what the migrations make of an empty SQLite file, as the script of a first start."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from shop_order.repository.schema import SQLITE_SCRIPT, migrate

HEAD = "-- The order database for SQLite: what the migrations make, written by `make schema`.\n"


def migrated_script() -> str:
    """The script that the migrations amount to."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "order.db"
        migrate(f"sqlite:///{path}")
        with closing(sqlite3.connect(path)) as connection:
            statements = [each for each in connection.iterdump() if _is_ours(each)]
    lines = "\n".join(statements).splitlines()
    return HEAD + "".join(f"{line.rstrip()}\n" for line in lines if line.strip())


def _is_ours(statement: str) -> bool:
    """Not the transaction around them, which `create` makes, nor SQLite's own empty table of counters."""
    return statement not in ("BEGIN TRANSACTION;", "COMMIT;", 'DELETE FROM "sqlite_sequence";')


if __name__ == "__main__":
    Path(str(SQLITE_SCRIPT)).write_text(migrated_script(), encoding="utf-8")
