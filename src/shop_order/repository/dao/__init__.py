"""The order database; the scheme of its URL selects the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shop_order.repository.dao.store import Store, StoreOptions


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
