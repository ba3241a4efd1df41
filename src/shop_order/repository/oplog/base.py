"""What an engine of the order log offers."""

from __future__ import annotations

from typing import Protocol

from shop_order.domain.order_log import OrderLog

NAME = "the order log"


class OrderLogStore(OrderLog, Protocol):
    """A log that can be let go."""

    async def close(self) -> None:
        """Finish what runs, then disconnect."""
