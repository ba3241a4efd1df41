"""Limits: calls per second, bytes per response, and gRPC calls that are open at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from shop_order.domain.errors import Overloaded, RateLimited
from shop_order.domain.valueobject.parties import Actor
from shop_order.pkg.grpc.server import AddressBound
from shop_order.pkg.ratelimit import RateLimiter
from shop_order.web.auth.client_address import Network, contains, limit_key

BYTES_PER_CALL = 32 * 1024  # a larger response counts as several calls
MAX_CONCURRENT_LISTS = 2  # of one caller: a list is charged when complete, so many at once would be free
LIST_METHODS = frozenset(
    {
        "/order.OrderService/ListOrders",
        "/order.OrderService/ListRefunds",
        "/shop.order.Order/OrderList",
        "GET /api/v1/orders",
        "GET /api/v1/refunds",
        "GET /api/v1/admin/refunds",
    }
)
NOTICE_METHODS = frozenset({"/order.OrderService/NotifyPayment", "/shop.order.Order/OrderPayCallback"})
FULL_WINDOW_S = 10.0  # a pool counts as full for this long after a refusal


@dataclass(frozen=True, slots=True)
class Rates:
    """Calls per second, and the burst; a rate of 0 means no limit."""

    user_rate: int = 20
    user_burst: int = 100
    global_rate: int = 0
    global_burst: int = 0


@dataclass(slots=True)
class _ListSlots:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_LISTS))
    waiting: int = 0


class RateLimits:
    """Limits calls per user and in total; large responses count as several calls."""

    def __init__(self, limiter: RateLimiter, rates: Callable[[], Rates]) -> None:
        """`rates` is called for every request, because settings can be reloaded."""
        self._limiter = limiter
        self._rates = rates
        self._list_slots: dict[str, _ListSlots] = {}

    async def check(self, actor: Actor | None, *, address: str = "") -> None:
        """Count one call against the user, or against the address if there is no user.

        Only the global limit applies to a service that acts for no user. Raises RateLimited.
        """
        for bucket in self._buckets(actor, address):
            retry_after_s = await self._limiter.acquire(*bucket)
            if retry_after_s > 0:
                raise RateLimited(retry_after_s)

    async def charge(self, actor: Actor | None, answered_bytes: int) -> None:
        """Count the additional calls that a large response amounts to."""
        if cost := answered_bytes // BYTES_PER_CALL:
            for bucket in self._buckets(actor):
                await self._limiter.charge(*bucket, cost)

    def _buckets(self, actor: Actor | None, address: str = "") -> Iterator[tuple[str, int, int]]:
        """Key, rate and burst of each limit that applies."""
        rates = self._rates()
        if rates.user_rate > 0 and (key := _key(actor, address)):
            # The user's own limit first: whoever exceeds it must not use up the global one.
            yield key, rates.user_rate, rates.user_burst
        if rates.global_rate > 0:
            yield "global", rates.global_rate, rates.global_burst

    @asynccontextmanager
    async def list_slot(self, actor: Actor | None) -> AsyncIterator[None]:
        """Wait for one of the caller's MAX_CONCURRENT_LISTS slots. Acquire it before calling `check`."""
        key = user_key(actor)
        slots = self._list_slots.setdefault(key, _ListSlots())
        slots.waiting += 1
        try:
            async with slots.free:
                yield
        finally:
            slots.waiting -= 1
            if not slots.waiting:
                del self._list_slots[key]


def user_key(actor: Actor | None) -> str:
    """The user whom limits count; empty for a service that acts for none."""
    return f"user:{actor.user_id}" if actor is not None and actor.user_id else ""


def _key(actor: Actor | None, address: str) -> str:
    if actor is not None:
        return user_key(actor)
    return f"address:{address}" if address else ""


class OpenCallBounds(Protocol):
    """Maximum numbers of open calls; 0 for an address or a user means no bound."""

    @property
    def grpc_calls(self) -> int: ...
    @property
    def grpc_address_calls(self) -> int: ...
    @property
    def grpc_streams(self) -> int: ...
    @property
    def grpc_address_streams(self) -> int: ...
    @property
    def grpc_user_streams(self) -> int: ...
    @property
    def grpc_address_connections(self) -> int: ...


class Pool:
    """A bounded number of slots for calls that are open at the same time."""

    def __init__(self, size: Callable[[], int], key_size: Callable[[], int]) -> None:
        """The sizes are called for every request, because settings can be reloaded."""
        self._size = size
        self._key_size = key_size
        self._by_key: dict[str, int] = {}
        self._refused_s = float("-inf")
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether a call was refused recently for lack of slots; refusals of one key don't count."""
        return time.monotonic() - self._refused_s < FULL_WINDOW_S

    @contextmanager
    def slot(self, key: str) -> Iterator[None]:
        """Hold a slot for an address or a user during the block; an empty key is not bounded.

        Raises Overloaded.
        """
        taken, limit = self._by_key.get(key, 0), self._key_size()
        if key and limit and taken >= limit:
            raise Overloaded
        if self.taken >= self._size():
            self._refused_s = time.monotonic()
            raise Overloaded
        self.taken += 1
        self._by_key[key] = taken + 1
        try:
            yield
        finally:
            self.taken -= 1
            left = self._by_key[key] - 1
            if left:
                self._by_key[key] = left
            else:
                del self._by_key[key]


class Pools:
    """Separate pools for calls, notices and streams, so that none can starve another.

    A stream has a slot of its address and one of its user.
    """

    def __init__(
        self, bounds: Callable[[], OpenCallBounds], trusted_proxies: tuple[Network, ...] = ()
    ) -> None:
        """Trusted proxies are not bounded: they bound their own callers."""
        self.calls = Pool(lambda: bounds().grpc_calls, lambda: bounds().grpc_address_calls)
        self.notices = Pool(lambda: bounds().grpc_calls, lambda: bounds().grpc_address_calls)
        self.streams = Pool(lambda: bounds().grpc_streams, lambda: bounds().grpc_address_streams)
        self.user_streams = Pool(lambda: bounds().grpc_streams, lambda: bounds().grpc_user_streams)

        @lru_cache(maxsize=4096)
        def address(peer: str) -> str:
            return "" if not peer or contains(trusted_proxies, peer) else limit_key(peer, (), ())

        self.address = address
        self.connections = AddressBound(lambda: bounds().grpc_address_connections, address)

    @property
    def full(self) -> bool:
        """Whether calls or notices were refused recently."""
        return self.calls.full or self.notices.full

    def taken(self) -> dict[str, int]:
        """The number of slots in use, by pool."""
        return {"calls": self.calls.taken, "notices": self.notices.taken, "streams": self.streams.taken}
