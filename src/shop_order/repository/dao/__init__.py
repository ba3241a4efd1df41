"""The order database, picked by the scheme of its URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shop_order.repository.dao.base import Store, StoreOptions


def open_store(url: str, *, next_id: Callable[[], int], options: StoreOptions | None = None) -> Store:
    """The store behind `url`, not opened yet. Raises ValueError for a scheme that is not built."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        from shop_order.repository.dao.sqlite import SqliteStore

        return SqliteStore(Path(rest[1:]), next_id, options or StoreOptions())
    if scheme == "mysql":
        from shop_order.repository.dao.mysql import MysqlStore
        from shop_order.repository.dao.mysql.address import Address

        return MysqlStore(Address.of(url), next_id, options or StoreOptions())
    raise ValueError(f"no order database for {scheme}:")
