"""The schema's revision, and how a database gets there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.script import ScriptDirectory

GUARDS = frozenset(
    f"{table}_no_{what}"
    for table in ("order_event", "history_root")
    for what in ("update", "delete", "second")
)
# A second INSERT of a key meets the primary key; what makes of it a REPLACE or an UPDATE meets a trigger.
SQLITE_SCRIPT = files("shop_order.script") / "sqlite" / "schema.sql"
MYSQL_GUARDS = frozenset(name for name in GUARDS if not name.endswith("_second"))
ALONE_S = 60  # how long one migration waits for another


@cache
def head() -> str:
    """The revision this version needs: the newest migration, by the names of their files."""
    names = (file.name for file in files("shop_order.script.migrations.versions").iterdir())
    return max(name[:4] for name in names if name[:4].isdigit())


class DataWouldBeLost(Exception):
    """The way to this revision leads down, and drops tables or columns with all they hold."""


def migrate(url: str, revision: str = "head", *, keep_data: bool = False) -> None:
    """Bring the database behind a `DB__URL` up to `revision`, or down unless `keep_data`.

    Raises OSError if it can't be used, ValueError for a revision nobody knows, DataWouldBeLost.
    Imports Alembic, which a running server does not need: the server only compares `head`.
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
        # The driver begins no transaction for CREATE TABLE: a kill would leave half of the tables for good.
        sa.event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        # A system without a temporary folder must not matter.
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA temp_store=MEMORY"))
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            if engine.dialect.name != "sqlite":
                _prepare_server(connection)
            config.attributes["connection"] = connection
            now = MigrationContext.configure(connection).get_current_revision() or ""
            if _leads_down(ScriptDirectory.from_config(config), now, revision):
                if keep_data:
                    raise DataWouldBeLost
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
    except sa.exc.DatabaseError as error:
        raise OSError(f"the order database can't be used: {error.orig}") from error
    finally:
        engine.dispose()


def _leads_down(script: ScriptDirectory, now: str, revision: str) -> bool:
    """Raises ValueError for a revision that is not ours, OSError for a database of a newer version."""
    known = ["", *reversed([one.revision for one in script.walk_revisions()])]
    wanted = {"head": known[-1], "base": ""}.get(revision, revision)
    if wanted not in known or not revision:
        raise ValueError(f"{revision} is none of base, {', '.join(known[1:])}, head")
    if now not in known:
        raise OSError(f"the order database is at {now}, which this version does not know")
    return known.index(wanted) < known.index(now)


def create(path: Path) -> bool:
    """Make the tables of a new SQLite file at `head`, in one transaction; False if it has tables already.

    By the script that `make schema` writes: a first start need not wait for Alembic, which takes two seconds.
    Raises sqlite3.DatabaseError for what can't be used.
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
    """Wait for another migration of this database to end. Raises OSError if it does not."""
    from shop_order.script.migrations.steps import is_tidb

    alone = f"SELECT GET_LOCK(concat('shop-order migrate ', left(database(), 40)), {ALONE_S})"
    if not connection.exec_driver_sql(alone).scalar():
        raise OSError("another migration of this order database does not end")
    if is_tidb(connection):
        checked = "SELECT @@GLOBAL.tidb_enable_check_constraint"
        if not connection.exec_driver_sql(checked).scalar():
            raise OSError(
                "TiDB would forget the checks of the tables:"
                " SET GLOBAL tidb_enable_check_constraint = ON first"
            )


def _engine(url: str) -> sa.Engine:
    import sqlalchemy as sa

    if url.startswith("mysql://"):
        from shop_order.repository.dao.engine.mysql_address import MysqlAddress

        at = MysqlAddress.of(url)
        # What Alembic sends is quoted by SQLAlchemy: the connection needs no mode of ours.
        charset = {"charset": "utf8mb4"}
        there = sa.URL.create("mysql+pymysql", at.user, at.password, at.host, at.port, at.database, charset)
        return sa.create_engine(there, connect_args={"ssl": at.tls.context()} if at.tls else {})
    return sa.create_engine(url)
