"""One order database: its parts share connections, batches and transactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

from shop_order.pkg.log import get_logger
from shop_order.repository.dao.archive import Archive
from shop_order.repository.dao.audit import Audit
from shop_order.repository.dao.carts import Carts
from shop_order.repository.dao.engine.base import Database, Session, StoreOptions, StoreTaken
from shop_order.repository.dao.feed import Feed
from shop_order.repository.dao.leases import Leases, OneProcess, SharedLeases
from shop_order.repository.dao.orders import Backlog, Orders
from shop_order.repository.dao.outbox import Outbox
from shop_order.repository.dao.payments import Payments
from shop_order.repository.dao.reconciliations import Reconciliations
from shop_order.repository.dao.roots import Roots
from shop_order.repository.dao.rows import HISTORY, LIVE
from shop_order.repository.schema import head

__all__ = ["OffsetStore", "SchemaBehind", "Store", "StoreOptions", "StoreTaken"]

log = get_logger("store")
SILENT_S = 8.0  # longer than one lock is waited for; a server may wait for room, or for another, without end
LAST_ID = (
    "SELECT max(id) FROM (SELECT 0 AS id UNION ALL SELECT max(id) FROM order_info"
    " UNION ALL SELECT max(id) FROM shopping_cart UNION ALL SELECT max(id) FROM order_event) AS largest"
)


class SchemaBehind(Exception):
    """The tables are not those this version needs, or a trigger that guards the history is missing."""


class Store:
    """Every write goes through one connection of this process, in batches."""

    def __init__(self, db: Database, next_id: Callable[[], int]) -> None:
        self._db = db
        self.orders = Orders(db, next_id, db.options.on_stored)
        self.commits = db.writer.batches  # the batches of writes, and of look-ups of keys
        self.lookups = self.orders.lookups
        self.payments = Payments(db)
        self.carts = Carts(db)
        self.outbox = Outbox(db)
        self.feed = Feed(db)
        self.audit = Audit(db)
        self.roots = Roots(db)
        self.archive = Archive(db)
        self.backlog = Backlog(db)
        self.reconciliations = Reconciliations(db)
        self.time = OffsetStore(db)
        self.leases: Leases = SharedLeases(db) if db.is_shared else OneProcess(db)

    async def open(self, *, serve: bool = True) -> None:
        """Connect; to `serve` a file, alone. Raises StoreTaken, SchemaBehind, DependencyDown."""
        if serve:
            self._db.lock()
        await self._db.reader.submit(check_schema)

    async def close(self) -> None:
        """Finish what is queued, let the leases go, disconnect."""
        await self.leases.leave_all()
        await self._db.close()

    async def ping(self) -> None:
        """Raises DependencyDown if the database can't be read."""
        await self._db.reader.submit(lambda session: session.first("SELECT 1"))

    async def check_writes(self) -> None:
        """Write something for its own sake, so that `trouble` is known. Raises DependencyDown."""
        await self.leases.renew()
        self._db.writer.trouble = ""

    @property
    def trouble(self) -> str:
        """Why the database takes no writes, by its engine's name for it; empty while it does.

        SILENT while a batch of writes has no answer for long: a database that waits refuses nothing.
        """
        silent = "SILENT" if self.commits.running_s > SILENT_S else ""
        return self._db.writer.trouble or silent

    async def last_id(self) -> int:
        """The largest id that was stored: ids go on above it even if the clock was set back."""
        (largest,) = await self._db.reader.submit(lambda session: session.first(LAST_ID)) or (0,)
        return int(largest)


class OffsetStore:
    """How far the test clock was advanced; kept over a restart."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def offset_ms(self) -> int:
        """Milliseconds ahead of real time."""
        return await self._db.reader.submit(self._offset)

    async def advance(self, by_ms: int) -> int:
        """Move forward; returns the new offset."""

        async def job(session: Session) -> int:
            await session.run(f"{session.dialect.insert_new} INTO shop_time (id, offset_ms) VALUES (1, 0)")
            await session.run("UPDATE shop_time SET offset_ms = offset_ms + ? WHERE id = 1", (by_ms,))
            return await self._offset(session)

        return await self._db.writer.submit(job)

    async def _offset(self, session: Session) -> int:
        row = await session.first("SELECT offset_ms FROM shop_time WHERE id = 1")
        return int(row[0]) if row else 0


async def check_schema(session: Session) -> None:
    """Raises SchemaBehind unless the tables are today's and the guards of the history stand."""
    names = {name for sql in session.dialect.names for (name,) in await session.all(sql)}
    if "alembic_version" not in names:
        raise SchemaBehind("the order database has no tables yet")
    (version,) = await session.first("SELECT version_num FROM alembic_version") or ("",)
    if version != head():
        raise SchemaBehind(f"the order database is at revision {version!r}, this version needs {head()!r}")
    # A downgrade that was killed after its first DROP, then an upgrade: the revision does not show it.
    if missing := sorted({*astuple(LIVE), *astuple(HISTORY), "history_root"} - names):
        raise SchemaBehind(f"tables of the order database are missing: {', '.join(missing)}")
    if not session.dialect.guards:
        log.info("history_without_triggers", server="TiDB")
    if missing := sorted(session.dialect.guards - names):
        raise SchemaBehind(f"triggers that guard the history are missing: {', '.join(missing)}")
