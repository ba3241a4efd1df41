"""Creating and migrating the tables of the order database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.script import ScriptDirectory

SQLITE_SCRIPT = files("shop_order.script") / "sqlite" / "schema.sql"
LOCK_S = 60  # how long a migration waits for another one


class DataWouldBeLost(Exception):
    """The migration is a downgrade, which drops tables or columns with their data."""


def migrate(url: str, revision: str = "head", *, keep_data: bool = False) -> None:
    """Upgrade the database of a `DB__URL` to `revision`, or downgrade it unless `keep_data`.

    Raises OSError if it can't be used, ValueError for an unknown revision, DataWouldBeLost.
    Imports Alembic, which a running server does not need.
    """
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", "shop_order:script/migrations")
    engine = _engine(url)
    if engine.dialect.name == "sqlite":
        # The driver begins no transaction for CREATE TABLE: a kill would leave half of the tables.
        sa.event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        # Works on a system without a temporary folder.
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA temp_store=MEMORY"))
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            if engine.dialect.name != "sqlite":
                _prepare_server(connection)
            config.attributes["connection"] = connection
            now = MigrationContext.configure(connection).get_current_revision() or ""
            if _is_downgrade(ScriptDirectory.from_config(config), now, revision):
                if keep_data:
                    raise DataWouldBeLost
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
    except sa.exc.DatabaseError as error:
        raise OSError(f"the order database can't be used: {error.orig}") from error
    finally:
        engine.dispose()


def _is_downgrade(script: ScriptDirectory, now: str, revision: str) -> bool:
    """Return whether this is a downgrade. Raises ValueError, OSError for a newer database."""
    known = ["", *reversed([one.revision for one in script.walk_revisions()])]
    wanted = {"head": known[-1], "base": ""}.get(revision, revision)
    if wanted not in known or not revision:
        raise ValueError(f"{revision} is not a known revision: base, {', '.join(known[1:])}, head")
    if now not in known:
        raise OSError(f"the order database is at {now}, which this version does not know")
    return known.index(wanted) < known.index(now)


def create(path: Path) -> bool:
    """Create the tables of a new SQLite file in one transaction; return False if it has tables already.

    Runs the script that `make schema` writes, since importing Alembic takes two seconds.
    Raises sqlite3.DatabaseError if the file can't be used.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            return False
        for statement in _statements(SQLITE_SCRIPT.read_text(encoding="utf-8")):
            connection.execute(statement)
        connection.execute("COMMIT")
    return True


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _prepare_server(connection: sa.Connection) -> None:
    """Lock out other migrations of this database. Raises OSError."""
    from shop_order.script.migrations.steps import is_tidb

    lock = f"SELECT GET_LOCK(concat('shop-order migrate ', left(database(), 40)), {LOCK_S})"
    if not connection.exec_driver_sql(lock).scalar():
        raise OSError(f"another migration of this order database has not ended within {LOCK_S} s")
    if is_tidb(connection):
        checked = "SELECT @@GLOBAL.tidb_enable_check_constraint"
        if not connection.exec_driver_sql(checked).scalar():
            raise OSError(
                "TiDB would ignore the CHECK constraints of the tables:"
                " SET GLOBAL tidb_enable_check_constraint = ON first"
            )


def _engine(url: str) -> sa.Engine:
    import sqlalchemy as sa

    if url.startswith("mysql://"):
        from shop_order.repository.dao.engine.mysql_session import MysqlAddress

        # SQLAlchemy quotes what Alembic sends: the connection needs no SQL mode of ours.
        return sa.create_engine("mysql+pymysql://", connect_args=MysqlAddress.of(url).connect_args())
    return sa.create_engine(url)
