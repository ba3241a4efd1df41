"""The order database, picked by the scheme of its URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shop_order.repository.dao.base import Store


def open_store(url: str, *, next_id: Callable[[], int], bounds: tuple[int, int] = (64, 2048)) -> Store:
    """The store behind `url`, not opened yet; `bounds` are the largest batch and the longest queue.

    Raises ValueError for a scheme that is not built.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        from shop_order.repository.dao.sqlite import SqliteStore

        return SqliteStore(Path(rest.removeprefix("/") if rest.startswith("/.") else rest), next_id, bounds)
    raise ValueError(f"no order database for {scheme}://")
