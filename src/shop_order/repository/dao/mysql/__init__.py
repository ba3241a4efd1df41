"""The order database in MySQL 8 or MariaDB; several processes may share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

from shop_order.pkg.log import get_logger
from shop_order.repository.dao.archiving import HISTORY, LIVE
from shop_order.repository.dao.base import SchemaBehind, StoreOptions, silent
from shop_order.repository.dao.mysql.address import Address
from shop_order.repository.dao.mysql.archive import MysqlArchive
from shop_order.repository.dao.mysql.audit import MysqlAudit
from shop_order.repository.dao.mysql.backlog import MysqlBacklog
from shop_order.repository.dao.mysql.carts import MysqlCarts
from shop_order.repository.dao.mysql.database import Database
from shop_order.repository.dao.mysql.feed import MysqlFeed
from shop_order.repository.dao.mysql.leases import MysqlLeases
from shop_order.repository.dao.mysql.orders import MysqlOrders
from shop_order.repository.dao.mysql.outbox import MysqlOutbox
from shop_order.repository.dao.mysql.payments import MysqlPayments
from shop_order.repository.dao.mysql.reconciliations import MysqlReconciliations
from shop_order.repository.dao.mysql.roots import MysqlRoots
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.mysql.time import MysqlTime
from shop_order.repository.schema import HEAD, MYSQL_GUARDS

log = get_logger("store")


class MysqlStore:
    """Everything in one database; every write goes through one connection (decision mysql)."""

    def __init__(self, address: Address, next_id: Callable[[], int], options: StoreOptions) -> None:
        self._db = Database(address, options)
        self.commits = self._db.writer.batches
        self.orders = MysqlOrders(self._db, next_id, options.on_stored)
        self.lookups = self.orders.lookups
        self.payments = MysqlPayments(self._db)
        self.carts = MysqlCarts(self._db)
        self.outbox = MysqlOutbox(self._db)
        self.feed = MysqlFeed(self._db)
        self.audit = MysqlAudit(self._db)
        self.roots = MysqlRoots(self._db)
        self.archive = MysqlArchive(self._db)
        self.backlog = MysqlBacklog(self._db)
        self.reconciliations = MysqlReconciliations(self._db)
        self.time = MysqlTime(self._db)
        self.leases = MysqlLeases(self._db)

    async def open(self, *, serve: bool = True) -> None:
        """See `repository.dao.base.Store`; a second process is welcome."""
        await self._db.reader.submit(check_schema)

    async def close(self) -> None:
        """Finish what is queued, let the leases go, disconnect."""
        await self.leases.leave_all()
        await self._db.close()

    async def ping(self) -> None:
        """Raises DependencyDown if the database can't be asked."""
        await self._db.reader.submit(lambda session: session.first("SELECT 1"))

    async def check_writes(self) -> None:
        """See `repository.dao.base.Store`: what is written is that we are alive."""
        await self.leases.renew()
        self._db.writer.trouble = ""

    @property
    def trouble(self) -> str:
        """See `repository.dao.base.Store`."""
        return self._db.writer.trouble or silent(self.commits)

    async def last_id(self) -> int:
        """The largest id of an order, a cart's line or an event, whether published or not."""
        sql = (
            "SELECT greatest((SELECT coalesce(max(id), 0) FROM order_info),"
            " (SELECT coalesce(max(id), 0) FROM shopping_cart),"
            " (SELECT coalesce(max(id), 0) FROM order_event))"
        )
        (largest,) = await self._db.reader.submit(lambda session: session.first(sql)) or (0,)
        return int(largest)


async def check_schema(session: Session) -> None:
    """Raises SchemaBehind unless the tables are today's and the guards of the history stand."""
    sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = database()"
    tables = {name for (name,) in await session.all(sql)}
    if "alembic_version" not in tables:
        raise SchemaBehind("the order database has no tables yet")
    (version,) = await session.first("SELECT version_num FROM alembic_version") or ("",)
    if version != HEAD:
        raise SchemaBehind(f"the order database is at revision {version!r}, this version needs {HEAD!r}")
    # A way down that was killed after its first DROP, then a way up: the revision says nothing of it.
    if missing := sorted({*astuple(LIVE), *astuple(HISTORY), "history_root"} - tables):
        raise SchemaBehind(f"tables of the order database are missing: {', '.join(missing)}")
    if session.is_tidb:
        log.info("history_without_triggers", server="TiDB")  # the chain of hashes guards it (decision tidb)
        return
    sql = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()"
    names = {name for (name,) in await session.all(sql)}
    if missing := sorted(MYSQL_GUARDS - names):
        raise SchemaBehind(f"triggers that guard the history are missing: {', '.join(missing)}")
