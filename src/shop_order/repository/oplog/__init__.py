"""The order log, picked by the scheme of its URL."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from shop_order.domain.ports import OrderLog

NAME: Final = "order_log"


class OrderLogStore(OrderLog, Protocol):
    """A log that can be let go."""

    async def close(self) -> None:
        """Finish what runs, then disconnect."""


def open_order_log(url: str) -> OrderLogStore:
    """The log behind `url`; it connects when it is used.

    Raises ValueError for a scheme that is not built, OSError if its client is missing or refuses the URL.
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
