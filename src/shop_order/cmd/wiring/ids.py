"""The ids of this process, with a worker id that it leases from the database."""

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
    """`next` creates an id; `renew`, called every few seconds, renews the lease."""

    def __init__(self, metrics: Metrics, real_clock: Clock) -> None:
        self._metrics = metrics
        self._clock = real_clock
        self._worker_id = 0
        self._expires_s = float("inf")
        self._snowflakes = Snowflakes(real_clock, self._worker_id)
        self._trouble = ""  # why the database is read-only
        self._since_s = 0.0

    def next(self) -> int:
        """Return a new id. Raises DependencyDown while the worker id may belong to another process."""
        if time.monotonic() > self._expires_s:
            raise DependencyDown("worker_id")
        return self._snowflakes.next_id()

    async def start(self, store: Store, *, lease: bool) -> None:
        """Lease a worker id if `lease`, and continue after the last stored id. Raises DependencyDown."""
        if lease:
            self._worker_id = await store.leases.worker_id()
            self._expires_s = store.leases.worker_id_expires_s
        self._snowflakes = Snowflakes(self._clock, self._worker_id, after=await store.last_id())

    async def renew(self, store: Store) -> None:
        """Renew the worker id, or continue with another if it was lost. Raises DependencyDown.

        Writes first, so that a read-only database is noticed before an order fails.
        """
        self._report(store.write_error)
        try:
            await store.check_writes()
        finally:
            self._report(store.write_error)
        if (worker_id := await store.leases.worker_id()) != self._worker_id:
            log.warning("worker_changed", before=self._worker_id, now=worker_id)
            self._metrics.worker_changes.inc()
            self._worker_id = worker_id
            self._snowflakes = Snowflakes(self._clock, worker_id, after=self._snowflakes.next_id())
        self._expires_s = store.leases.worker_id_expires_s

    def _report(self, trouble: str) -> None:
        """Log a change, and also the end of an outage: the log may be on the same full disk."""
        if trouble and not self._trouble:
            self._since_s = time.monotonic()
            store_log.error("database_refuses_writes", code=trouble)
        if self._trouble and not trouble:
            lasted_s = round(time.monotonic() - self._since_s, 1)
            store_log.warning("database_takes_writes_again", code=self._trouble, lasted_s=lasted_s)
        self._trouble = trouble
