"""What an engine of the order log offers."""

from __future__ import annotations

from typing import Final, Protocol

from shop_order.domain.order_log import OrderLog

NAME: Final = "order_log"


class OrderLogStore(OrderLog, Protocol):
    """A log that can be let go."""

    async def close(self) -> None:
        """Finish what runs, then disconnect."""
