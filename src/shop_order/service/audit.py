"""Walking the hash chains: the history is what it was."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import OrderNotFound
from shop_order.domain.event.order_events import GENESIS, Event, event_hash
from shop_order.domain.ports import Audit

PAGE = 500
UNREADABLE = (ValueError, LookupError, TypeError)  # of a row that somebody changed past all recognition
LOOKS = 3  # an order may move between the reading of its chain and of its row


@dataclass(frozen=True, slots=True)
class Broken:
    """The first event of a chain that does not hold."""

    order_sn: str
    version: int
    what: str


class AuditService:
    """Verifies chains against themselves and against the orders they tell of."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def verify(self, order_sn: str | None = None) -> tuple[int, list[Broken]]:
        """How many chains were walked, and the first broken event of each broken one.

        Raises OrderNotFound for a number that has neither a chain nor an order: nothing is broken there.
        """
        if order_sn is not None and not await self._exists(order_sn):
            raise OrderNotFound
        walked, broken = 0, []
        async for sn in self._numbers(order_sn):
            walked += 1
            if fault := await self._fault(sn):
                broken.append(fault)
        return walked, broken

    async def _exists(self, order_sn: str) -> bool:
        try:
            return bool(await self._audit.chain(order_sn)) or await self._audit.order(order_sn) is not None
        except UNREADABLE:
            return True

    async def _fault(self, order_sn: str) -> Broken | None:
        for _ in range(LOOKS):
            chain = list(await self._audit.chain(order_sn))
            try:
                order = await self._audit.order(order_sn)
            except UNREADABLE as altered:
                return Broken(order_sn, len(chain), f"has an order that can't be read: {altered!r}")
            if (fault := check_chain(order_sn, chain, order)) is None:
                return None
        return fault

    async def _numbers(self, order_sn: str | None) -> AsyncIterator[str]:
        if order_sn is not None:
            yield order_sn
            return
        after = ""
        while page := await self._audit.order_sns(after, PAGE):
            for sn in page:
                yield sn
            after = page[-1]


def check_chain(order_sn: str, chain: list[Event], order: Order | None) -> Broken | None:
    """The first event that does not hold, or None."""
    prev = GENESIS
    for version, event in enumerate(chain, start=1):
        if event.version != version:
            return Broken(order_sn, version, "is missing")
        if event.prev_hash != prev:
            return Broken(order_sn, version, "does not follow the one before")
        digest = event_hash(
            prev,
            id=event.id,
            order_sn=order_sn,
            version=version,
            type=event.type,
            payload=event.payload,
            created_ms=event.created_ms,
        )
        if digest != event.hash:
            return Broken(order_sn, version, "was altered")
        prev = event.hash
    if order is None:
        return Broken(order_sn, len(chain), "has no order")
    if not chain or order.version != len(chain):
        return Broken(order_sn, order.version, "is missing")
    told = json.loads(chain[-1].payload)
    if told["new_status"] != int(order.status) or told["user_id"] != order.user:
        return Broken(order_sn, order.version, "tells of another state than the order")
    return None
