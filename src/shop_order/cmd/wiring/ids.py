"""The ids that this process makes, and the worker id in them, which it leases from the database."""

from __future__ import annotations

import time

from shop_order.domain.errors import DependencyDown
from shop_order.domain.ports import Clock
from shop_order.pkg.ids import Snowflakes
from shop_order.pkg.log import get_logger
from shop_order.pkg.metrics import Metrics
from shop_order.repository.dao.store import Store

log, store_log = get_logger("core"), get_logger("store")


class IdAllocator:
    """`next` makes an id; `keep`, called every few seconds, renews the lease."""

    def __init__(self, metrics: Metrics, real_clock: Clock) -> None:
        self._metrics = metrics
        self._clock = real_clock
        self._worker = 0
        self._ends_s = float("inf")
        self._snowflakes = Snowflakes(real_clock, self._worker)
        self._trouble = ""  # why the database takes no writes
        self._since_s = 0.0

    def next(self) -> int:
        """A new id. Raises DependencyDown while the worker id in it may be another's."""
        if time.monotonic() > self._ends_s:
            raise DependencyDown("worker_id")
        return self._snowflakes.next_id()

    async def begin(self, store: Store, *, lease: bool) -> None:
        """Go on after the last id that was stored. Raises DependencyDown."""
        if lease:
            self._worker = await store.leases.worker()
            self._ends_s = store.leases.worker_ends_s
        self._snowflakes = Snowflakes(self._clock, self._worker, after=await store.last_id())

    async def keep(self, store: Store) -> None:
        """Renew the worker id, or go on with another if it was lost. Raises DependencyDown.

        It begins with a write, so that a database that takes none is noticed without a buyer.
        """
        self._tell(store.trouble)
        try:
            await store.check_writes()
        finally:
            self._tell(store.trouble)
        if (worker := await store.leases.worker()) != self._worker:
            log.warning("worker_changed", before=self._worker, now=worker)
            self._metrics.worker_changed()
            self._worker = worker
            self._snowflakes = Snowflakes(self._clock, worker, after=self._snowflakes.next_id())
        self._ends_s = store.leases.worker_ends_s

    def _tell(self, trouble: str) -> None:
        """Log a change; the end of an outage too, for the log may have been on the disk that was full."""
        if trouble and not self._trouble:
            self._since_s = time.monotonic()
            store_log.error("database_takes_no_writes", code=trouble)
        if self._trouble and not trouble:
            lasted_s = round(time.monotonic() - self._since_s, 1)
            store_log.warning("database_takes_writes_again", code=self._trouble, lasted_s=lasted_s)
        self._trouble = trouble
