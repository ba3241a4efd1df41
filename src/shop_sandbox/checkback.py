"""Asks the order service about expired stock leases. Without an answer a lease stays as it is."""

import asyncio
import logging
from collections.abc import Callable

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import ReservationCheckStub
from shop_sandbox.inventory import Inventory
from shop_sandbox.order_link import OrderLink, brief

BATCH = 100
DEADLINE_S = 3.0
MAX_WAIT_S = 10.0
ANSWERS = frozenset({"EXTEND", "CONFIRM", "RELEASE", "ABANDONED"})

logger = logging.getLogger("shop_sandbox.checkback")


class CheckBack:
    """The inventory's background loop over `ReservationCheck.CheckReservations`."""

    def __init__(
        self,
        inventory: Inventory,
        *,
        order: OrderLink,
        clock_ms: Callable[[], int],
        interval_s: float,
    ) -> None:
        self._inventory = inventory
        self.order = order
        self._clock_ms = clock_ms
        self._interval_s = interval_s
        self._failures = 0

    async def run(self) -> None:
        """Check expired leases until cancelled."""
        while True:
            try:
                while await self.check_once() == BATCH:
                    pass
                self._failures = 0
            except Exception as error:  # noqa: BLE001 - a background loop: leases stay whatever fails
                self._failures += 1
                logger.warning("reservation check failed (%d): %r", self._failures, brief(error))
            wait_s = self._interval_s * 2 ** min(self._failures, 10)
            await asyncio.sleep(min(wait_s, max(MAX_WAIT_S, self._interval_s)))

    async def check_once(self) -> int:
        """Ask about up to 100 expired leases, and return how many there were. Raises grpc.RpcError."""
        due = await self._inventory.due(BATCH)
        if not due:
            return 0
        checks = dict(due)
        verdicts = await self._verdicts(list(checks))
        answered = {one.order_sn: one for one in verdicts if one.answer in ANSWERS and one.order_sn in checks}
        now_ms = self._clock_ms()
        postponed = [
            (now_ms + _wait_ms(count), order_sn) for order_sn, count in due if order_sn not in answered
        ]
        if postponed:
            logger.warning("no answer for %d of %d leases", len(postponed), len(due))
        await self._inventory.settle(list(answered.values()), postponed)
        return len(due)

    async def close(self) -> None:
        """Close the channel."""
        await self.order.close()

    async def _verdicts(self, order_sns: list[str]) -> list[pb.Verdict]:
        reply = await ReservationCheckStub(self.order.channel()).CheckReservations(
            pb.OrderSns(order_sns=order_sns), timeout=DEADLINE_S, metadata=self.order.metadata()
        )
        return list(reply.verdicts)


def _wait_ms(count: int) -> int:
    return int(1_000 * min(1 << min(count, 10), MAX_WAIT_S))
