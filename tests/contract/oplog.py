"""An order log under test."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from shop_order.repository.oplog import OrderLogStore, open_order_log
from tests.world.files import fresh_folder


@dataclass
class Log:
    """One log and how to open it again."""

    url: str
    store: OrderLogStore

    async def reopen(self) -> None:
        """The process ends, another one begins."""
        await self.store.close()
        self.store = open_order_log(self.url)


@contextlib.asynccontextmanager
async def empty_log(engine: str) -> AsyncIterator[Log]:
    """An empty log of an engine: a file, or a database of its own on the server that the URL names."""
    folder = fresh_folder()
    if engine.startswith("sqlite:"):
        url = f"sqlite:///{folder / 'oplog.db'}"
    else:
        url = f"{engine.rpartition('/')[0]}/shop_logs_{uuid.uuid4().hex[:12]}"
    log = Log(url, open_order_log(url))
    try:
        yield log
        await log.store.clear()
    finally:
        await log.store.close()
        shutil.rmtree(folder, ignore_errors=True)
