"""The order database in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from shop_order.repository.dao.base import SchemaBehind, StoreOptions, silent
from shop_order.repository.dao.sqlite.archive import SqliteArchive
from shop_order.repository.dao.sqlite.audit import SqliteAudit
from shop_order.repository.dao.sqlite.backlog import SqliteBacklog
from shop_order.repository.dao.sqlite.carts import SqliteCarts
from shop_order.repository.dao.sqlite.database import Database
from shop_order.repository.dao.sqlite.feed import SqliteFeed
from shop_order.repository.dao.sqlite.leases import OneProcess
from shop_order.repository.dao.sqlite.orders import SqliteOrders
from shop_order.repository.dao.sqlite.outbox import SqliteOutbox
from shop_order.repository.dao.sqlite.payments import SqlitePayments
from shop_order.repository.dao.sqlite.reconciliations import SqliteReconciliations
from shop_order.repository.dao.sqlite.roots import SqliteRoots
from shop_order.repository.dao.sqlite.time import SqliteTime
from shop_order.repository.schema import GUARDS, HEAD


class SqliteStore:
    """Everything in one file; every write goes through one thread (decision sqlite-one-writer)."""

    def __init__(self, path: Path, next_id: Callable[[], int], options: StoreOptions) -> None:
        self._db = Database(path, options)
        self.commits = self._db.writer.batches
        self.orders = SqliteOrders(self._db, next_id, options.on_stored)
        self.lookups = self.orders.lookups
        self.payments = SqlitePayments(self._db)
        self.carts = SqliteCarts(self._db)
        self.outbox = SqliteOutbox(self._db)
        self.feed = SqliteFeed(self._db)
        self.audit = SqliteAudit(self._db)
        self.roots = SqliteRoots(self._db)
        self.archive = SqliteArchive(self._db)
        self.backlog = SqliteBacklog(self._db)
        self.reconciliations = SqliteReconciliations(self._db)
        self.time = SqliteTime(self._db)
        self.leases = OneProcess()

    async def open(self, *, serve: bool = True) -> None:
        """See `repository.dao.base.Store`."""
        if serve:
            self._db.lock()
        await self._db.reader.submit(check_schema)

    async def close(self) -> None:
        """Finish what is queued, then close the file."""
        await self._db.close()

    async def ping(self) -> None:
        """Raises DependencyDown if the file can't be read."""
        await self._db.reader.submit(lambda conn: conn.execute("SELECT 1").fetchone())

    async def check_writes(self) -> None:
        """See `repository.dao.base.Store`."""
        await self._db.check_writes()

    @property
    def trouble(self) -> str:
        """See `repository.dao.base.Store`."""
        return self._db.writer.trouble or silent(self.commits)

    async def last_id(self) -> int:
        """The largest id of an order, a cart's line or an event, whether published or not."""
        sql = (
            "SELECT max(id) FROM (SELECT 0 AS id UNION ALL SELECT max(id) FROM order_info"
            " UNION ALL SELECT max(id) FROM shopping_cart"
            " UNION ALL SELECT seq FROM sqlite_sequence WHERE name = 'outbox')"
        )
        return await self._db.reader.submit(lambda conn: int(conn.execute(sql).fetchone()[0]))


def check_schema(conn: sqlite3.Connection) -> None:
    """Raises SchemaBehind unless the tables are today's and the guards of the history stand."""
    names = {name for (name,) in conn.execute("SELECT name FROM sqlite_master")}
    if "alembic_version" not in names:
        raise SchemaBehind("the order database has no tables yet")
    (version,) = conn.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    if version != HEAD:
        raise SchemaBehind(f"the order database is at revision {version!r}, this version needs {HEAD!r}")
    if missing := sorted(GUARDS - names):
        raise SchemaBehind(f"triggers that guard the history are missing: {', '.join(missing)}")
