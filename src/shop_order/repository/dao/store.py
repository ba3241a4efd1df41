"""The order database: its parts share connections, batches and transactions; its URL selects the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

from shop_order.pkg.log import get_logger
from shop_order.repository.dao.archive import Archive
from shop_order.repository.dao.audit import Audit, Roots
from shop_order.repository.dao.carts import Carts
from shop_order.repository.dao.engine.base import Database, Session, StoreInUse, StoreOptions, StorePart
from shop_order.repository.dao.leases import JobLeases, SharedJobLeases
from shop_order.repository.dao.orders import Backlog, Feed, Orders, Outbox
from shop_order.repository.dao.payments import Payments
from shop_order.repository.dao.reconciliations import Reconciliations
from shop_order.repository.dao.refunds import Refunds
from shop_order.repository.dao.rows import HISTORY, LIVE
from shop_order.script.migrations import head

__all__ = ["OffsetStore", "SchemaMismatch", "Store", "StoreInUse", "StoreOptions", "open_store"]

log = get_logger("store")
HANGING_S = 8.0  # longer than one lock wait; a server may wait for disk space without an error
LAST_ID = (
    "SELECT max(id) FROM (SELECT 0 AS id UNION ALL SELECT max(id) FROM order_info"
    " UNION ALL SELECT max(id) FROM shopping_cart UNION ALL SELECT max(id) FROM order_event) AS largest"
)


class SchemaMismatch(Exception):
    """The schema is not at this version's revision, or a table or trigger is missing."""


class Store:
    """The order database; this process writes in batches, on one connection."""

    def __init__(self, db: Database, next_id: Callable[[], int]) -> None:
        self._db = db
        self.orders = Orders(db, next_id, db.options.on_stored)
        self.commits = db.writer.batches  # batches of writes, then of key look-ups
        self.lookups = self.orders.lookups
        self.payments = Payments(db)
        self.refunds = Refunds(db)
        self.carts = Carts(db)
        self.outbox = Outbox(db)
        self.feed = Feed(db)
        self.audit = Audit(db)
        self.roots = Roots(db)
        self.archive = Archive(db)
        self.backlog = Backlog(db)
        self.reconciliations = Reconciliations(db)
        self.time = OffsetStore(db)
        self.leases = (SharedJobLeases if db.is_shared else JobLeases)(db)

    async def open(self, *, serve: bool = True) -> None:
        """Connect; `serve` locks a database file. Raises StoreInUse, SchemaMismatch, DependencyDown."""
        if serve:
            self._db.lock()
        await self._db.reader.submit(check_schema)

    async def close(self) -> None:
        """Finish the queue, release the leases, disconnect."""
        await self.leases.release_all()
        await self._db.close()

    async def ping(self) -> None:
        """Check that the database can be read. Raises DependencyDown."""
        await self._db.reader.first("SELECT 1")

    async def check_writes(self) -> None:
        """Make a test write, which updates `write_error`. Raises DependencyDown."""
        await self.leases.renew()
        self._db.writer.write_error = ""

    @property
    def write_error(self) -> str:
        """Why the database refuses writes, by the engine's name for the error; empty while it accepts them.

        SILENT while a batch of writes has been unanswered for long.
        """
        hanging = "SILENT" if self.commits.running_s > HANGING_S else ""
        return self._db.writer.write_error or hanging

    async def last_id(self) -> int:
        """Return the largest stored id; new ids are larger, even if the clock was set back."""
        (largest,) = await self._db.reader.first(LAST_ID) or (0,)
        return int(largest)


def open_store(url: str, *, next_id: Callable[[], int], options: StoreOptions | None = None) -> Store:
    """Return the store of `url`, not opened yet. Raises ValueError for an unknown scheme."""
    options = options or StoreOptions()
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        from shop_order.repository.dao.engine.sqlite import SqliteDatabase

        return Store(SqliteDatabase(Path(rest[1:]), options), next_id)
    if scheme == "mysql":
        from shop_order.repository.dao.engine.mysql import MysqlDatabase
        from shop_order.repository.dao.engine.mysql_session import MysqlAddress

        return Store(MysqlDatabase(MysqlAddress.of(url), options), next_id)
    raise ValueError(f"no order database for {scheme}:")


class OffsetStore(StorePart):
    """The offset of the test clock, which survives a restart."""

    async def offset_ms(self) -> int:
        """Return how far the clock is ahead of real time, in milliseconds."""
        return await self._db.reader.submit(self._offset)

    async def advance(self, by_ms: int) -> int:
        """Advance the clock; return the new offset."""

        async def job(session: Session) -> int:
            await session.run(f"{session.dialect.insert_ignore} INTO shop_time (id, offset_ms) VALUES (1, 0)")
            await session.run("UPDATE shop_time SET offset_ms = offset_ms + ? WHERE id = 1", (by_ms,))
            return await self._offset(session)

        return await self._db.writer.submit(job)

    async def _offset(self, session: Session) -> int:
        row = await session.first("SELECT offset_ms FROM shop_time WHERE id = 1")
        return int(row[0]) if row else 0


async def check_schema(session: Session) -> None:
    """Check the revision, tables and history triggers. Raises SchemaMismatch."""
    names = {name for sql in session.dialect.names for (name,) in await session.all(sql)}
    if "alembic_version" not in names:
        raise SchemaMismatch("the order database has no tables yet")
    (version,) = await session.first("SELECT version_num FROM alembic_version") or ("",)
    if version != head():
        raise SchemaMismatch(f"the order database is at revision {version!r}, this version needs {head()!r}")
    # The revision does not show a downgrade that was killed after its first DROP.
    if missing := sorted({*astuple(LIVE), *astuple(HISTORY), "history_root"} - names):
        raise SchemaMismatch(f"tables of the order database are missing: {', '.join(missing)}")
    if not session.dialect.guards:
        log.info("history_without_triggers", server="TiDB")
    if missing := sorted(session.dialect.guards - names):
        raise SchemaMismatch(f"triggers that guard the history are missing: {', '.join(missing)}")
