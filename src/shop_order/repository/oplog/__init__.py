"""The order log; the scheme of its URL selects the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from shop_order.domain.ports import OrderLog

NAME: Final = "order_log"


class OrderLogStore(OrderLog, Protocol):
    """A log that can be closed."""

    async def close(self) -> None:
        """Finish running calls, then disconnect."""


def open_order_log(url: str) -> OrderLogStore:
    """Return the log of `url`, which connects on use.

    Raises ValueError for an unknown scheme, OSError if the client is missing or refuses the URL.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        from shop_order.repository.oplog.sqlite import SqliteOrderLog

        return SqliteOrderLog(Path(rest.removeprefix("/")))
    if scheme in ("mongodb", "mongodb+srv"):
        try:
            from shop_order.repository.oplog.mongo import MongoOrderLog
        except ModuleNotFoundError as missing:
            raise OSError("OPLOG__URL: mongodb: needs `pip install shop-order[mongo]`") from missing
        return MongoOrderLog(url)
    raise ValueError(f"no order log for {scheme}:")
