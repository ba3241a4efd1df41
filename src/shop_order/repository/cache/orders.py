"""Cached orders for reading; a change updates the cache before the caller gets its response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import orjson

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import DependencyDown, OrderNotFound
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import EventPublisher, Key, Orders
from shop_order.repository.cache import Cache, CacheDown
from shop_order.repository.dao import rows

T = TypeVar("T")
ABSENT = b"-"
ITEM_WIDTH = 1 + len(rows.ITEM.names)  # without the times


@dataclass(frozen=True, slots=True)
class OrderTimes:
    """Maximum lifetimes of entries in ms, for orders and for missing orders; 0 disables them."""

    order_ms: int
    absent_ms: int


class OrderViews:
    """See `domain.ports.OrderLookup`; concurrent reads of an order share one database read.

    An order is cached with its version: if it changes during a read, the cache refuses the old version, and
    the order is read again.
    """

    def __init__(
        self,
        orders: Orders,
        cache: Cache,
        *,
        times: Callable[[], OrderTimes],
        jitter: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        """`jitter` returns 0..1, `count` gets the outcome of each look-up."""
        self._orders = orders
        self._cache = cache
        self._times = times
        self._jitter = jitter
        self._count = count
        self._longest_ms = 1
        self._flights: dict[str, asyncio.Task[Order]] = {}

    async def get(self, order_sn: str) -> Order:
        """Return the whole order, for reading only. Raises OrderNotFound."""
        key = key_of(order_sn)
        if self._times().order_ms:
            try:
                entry = await self._cache.get(key)
            except CacheDown:
                self._count("down")
            else:
                if entry and entry.value == ABSENT:
                    self._count("absent")
                    raise OrderNotFound
                if entry and entry.value and (found := decode(entry.value)):
                    self._count("hit")
                    return found
                self._count("miss")
        return await self._load_once(key, lambda: self._load(order_sn))

    async def get_by_id(self, id: int) -> Order:
        """Return the order with this id. Raises OrderNotFound."""
        key = f"id:{{{id}}}"
        if self._times().order_ms:
            try:
                if (entry := await self._cache.get(key)) and entry.value:
                    return await self.get(entry.value.decode())
            except CacheDown:
                self._count("down")
        return await self._load_once(key, lambda: self._load_by_id(id, key))

    async def changed(self, order: Order) -> None:
        """Cache the changed order."""
        key = key_of(order.order_sn)
        self._flights.pop(key, None)  # it may have read the old version
        if not await self._keep(key, order):
            await self._outdate(key, order.version)

    async def outdated(self, order_sn: str, version: int) -> None:
        """Outdate older versions of an order that is, or may be, at this version."""
        self._flights.pop(key_of(order_sn), None)
        await self._outdate(key_of(order_sn), version)

    async def _load_once(self, key: str, load: Callable[[], Awaitable[Order]]) -> Order:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.ensure_future(load())
            flight.add_done_callback(lambda done: self._finish_flight(key, done))
        return await asyncio.shield(flight)

    def _finish_flight(self, key: str, done: asyncio.Task[Order]) -> None:
        if self._flights.get(key) is done:
            del self._flights[key]
        if not done.cancelled():
            done.exception()  # marks it as retrieved if the callers have left

    async def _load(self, order_sn: str) -> Order:
        key = key_of(order_sn)
        try:
            order = await self._orders.get(order_sn)
        except OrderNotFound:
            if absent_ms := self._times().absent_ms:
                await self._put(key, 0, ABSENT, absent_ms)
            raise
        if await self._keep(key, order) or not self._cache.up:
            return order
        return await self._orders.get(order_sn)  # it changed during the read

    async def _load_by_id(self, id: int, key: str) -> Order:
        order = await self._orders.get_by_id(id)
        if not await self._keep(key_of(order.order_sn), order) and self._cache.up:
            order = await self._orders.get_by_id(id)
        if order_ms := self._times().order_ms:
            await self._put(key, 1, order.order_sn.encode(), order_ms)
        return order

    async def _keep(self, key: str, order: Order) -> bool:
        """Cache the order; False if a newer version is cached or the cache is down."""
        order_ms = self._times().order_ms
        return not order_ms or await self._put(key, order.version, encode(order), order_ms)

    async def _put(self, key: str, version: int, value: bytes, ttl_ms: int) -> bool:
        # At most `ttl_ms`, with jitter so that entries do not expire together.
        self._longest_ms = max(self._longest_ms, ttl_ms)
        try:
            return await self._cache.put(key, version, value, int(ttl_ms * (1 - 0.2 * self._jitter())) or 1)
        except CacheDown:
            return False

    async def _outdate(self, key: str, version: int) -> None:
        await self._cache.outdate(key, version, max(self._longest_ms, self._times().order_ms))


class CachedOrders:
    """See `domain.ports.Orders`: the database's orders; every change updates the cached views.

    A new order needs no update: its number was unknown before.
    """

    def __init__(self, orders: Orders, views: OrderViews) -> None:
        self._orders = orders
        self._views = views

    def __getattr__(self, name: str) -> Any:
        """Delegate everything but `change` to the database."""
        return getattr(self._orders, name)

    async def change(
        self, order_sn: str, decide: Callable[[Order], T], *, key: Key | None = None, seller: str = ""
    ) -> tuple[Order, T]:
        # A task of its own: a caller that is cancelled at the commit must not leave the old order cached.
        changing = asyncio.ensure_future(self._change(order_sn, decide, key, seller))
        changing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(changing)

    async def _change(
        self, order_sn: str, decide: Callable[[Order], T], key: Key | None, seller: str
    ) -> tuple[Order, T]:
        decided_at = 0

        def decide_and_note(order: Order) -> T:
            nonlocal decided_at
            result = decide(order)
            decided_at = order.version
            return result

        try:
            order, result = await self._orders.change(order_sn, decide_and_note, key=key, seller=seller)
        except DependencyDown:
            if decided_at:  # it may have been stored
                await self._views.outdated(order_sn, decided_at)
            raise
        await self._views.changed(order)
        return order, result


def cached_orders(orders: Orders, views: OrderViews) -> Orders:
    """Wrap orders so that every change updates the views."""
    return cast(Orders, CachedOrders(orders, views))


class InvalidatingPublisher:
    """See `domain.ports.EventPublisher`: an event invalidates older cached versions.

    Covers an instance that stored a change and died before it updated the cache.
    """

    def __init__(self, publisher: EventPublisher, views: OrderViews) -> None:
        self._publisher = publisher
        self._views = views

    async def deliver(self, events: Sequence[Event]) -> Sequence[int]:
        newest = {event.order_sn: event.version for event in sorted(events, key=lambda e: e.version)}
        await asyncio.gather(*(self._views.outdated(sn, version) for sn, version in newest.items()))
        return await self._publisher.deliver(events)


def key_of(order_sn: str) -> str:
    """Return the cache key of an order."""
    return f"order:{{{order_sn}}}"


def encode(order: Order) -> bytes:
    """Encode the order's rows as JSON."""
    items = [row[:ITEM_WIDTH] for row in rows.item_rows(order)]
    payments = [rows.PAYMENT.row(p) for p in order.payments.values()]
    refunds = [rows.REFUND.row(r) for r in order.refunds.values()]
    return orjson.dumps([rows.ORDER.row(order), items, payments, refunds, order.last_hash.hex()])


def decode(value: bytes) -> Order | None:
    """Decode an order, None if the bytes are malformed."""
    try:
        parts: list[Any] = orjson.loads(value)
        row, items, payments, refunds, hash = parts
        return rows.order_of(row, items, payments, refunds, bytes.fromhex(hash))
    except (ValueError, LookupError, TypeError):
        return None
