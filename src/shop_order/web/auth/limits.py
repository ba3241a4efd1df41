"""How often a user may call, how much may be answered, and how many gRPC calls may be open at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from shop_order.domain.errors import Overloaded, RateLimited
from shop_order.domain.valueobject.actor import Actor
from shop_order.pkg.grpc.server import AddressBound
from shop_order.pkg.ratelimit import RateLimiter
from shop_order.web.middleware.client_address import Network, contains, counted

CALL_BYTES = 32 * 1024  # of an answer; a larger one counts as more calls
LISTS_AT_ONCE = 2  # of one caller: a list is counted when it is complete, so many at once would be free
LISTS = frozenset({"/order.OrderService/ListOrders", "/shop.order.Order/OrderList", "GET /api/v1/orders"})
NOTICES = frozenset({"/order.OrderService/NotifyPayment", "/shop.order.Order/OrderPayCallback"})
FULL_FOR_S = 10.0  # so long after its last refusal a pool is called full


@dataclass(frozen=True, slots=True)
class Rates:
    """Calls a second and at once; a rate of 0 is no limit."""

    user_rate: int = 20
    user_burst: int = 100
    global_rate: int = 0
    global_burst: int = 0


@dataclass(slots=True)
class _Turns:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LISTS_AT_ONCE))
    waiting: int = 0


class RateLimits:
    """Limits calls by user and in total; large answers count as several calls."""

    def __init__(self, limiter: RateLimiter, rates: Callable[[], Rates]) -> None:
        """`rates` is asked at every call, since the settings may be reloaded."""
        self._limiter = limiter
        self._rates = rates
        self._turns: dict[str, _Turns] = {}

    async def check(self, actor: Actor | None, *, address: str = "") -> None:
        """Count one call of the user, or of the address if there is no user.

        A service that acts for no user is under the global limit only. Raises RateLimited.
        """
        rates = self._rates()
        if rates.user_rate > 0 and (key := _key(actor, address)):
            # The user's own limit first: whoever exceeds it must not use up the global one.
            await self._take(key, rates.user_rate, rates.user_burst)
        if rates.global_rate > 0:
            await self._take("global", rates.global_rate, rates.global_burst)

    async def charge(self, actor: Actor | None, answered_bytes: int) -> None:
        """Count an answer that is larger than a call's share as more calls."""
        cost = answered_bytes // CALL_BYTES
        if not cost:
            return
        rates = self._rates()
        if rates.user_rate > 0 and (key := _key(actor, "")):
            await self._limiter.charge(key, rates.user_rate, rates.user_burst, cost)
        if rates.global_rate > 0:
            await self._limiter.charge("global", rates.global_rate, rates.global_burst, cost)

    @asynccontextmanager
    async def turn(self, actor: Actor | None) -> AsyncIterator[None]:
        """Wait until few enough lists of this caller are being made; to be taken before `check`."""
        key = _key(actor, "")
        turns = self._turns.setdefault(key, _Turns())
        turns.waiting += 1
        try:
            async with turns.free:
                yield
        finally:
            turns.waiting -= 1
            if not turns.waiting:
                del self._turns[key]

    async def _take(self, key: str, rate: int, burst: int) -> None:
        retry_after_s = await self._limiter.acquire(key, rate, burst)
        if retry_after_s > 0:
            raise RateLimited(retry_after_s)


def _key(actor: Actor | None, address: str) -> str:
    if actor is not None:
        return f"user:{actor.user_id}" if actor.user_id else ""
    return f"address:{address}" if address else ""


class Bounds(Protocol):
    """Numbers of open calls; 0 for an address is no bound."""

    @property
    def grpc_calls(self) -> int: ...
    @property
    def grpc_address_calls(self) -> int: ...
    @property
    def grpc_streams(self) -> int: ...
    @property
    def grpc_address_streams(self) -> int: ...
    @property
    def grpc_address_connections(self) -> int: ...


class Pool:
    """Places for calls that run at the same time."""

    def __init__(self, size: Callable[[], int], address_size: Callable[[], int]) -> None:
        """The sizes are asked at every call, since the settings may be reloaded."""
        self._size = size
        self._address_size = address_size
        self._by_address: dict[str, int] = {}
        self._refused_s = float("-inf")
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether a caller found no place lately; one who has too many of them does not count."""
        return time.monotonic() - self._refused_s < FULL_FOR_S

    @contextmanager
    def place(self, address: str) -> Iterator[None]:
        """Take a place until the block ends; an empty address has no bound of its own. Raises Overloaded."""
        taken, most = self._by_address.get(address, 0), self._address_size()
        if address and most and taken >= most:
            raise Overloaded
        if self.taken >= self._size():
            self._refused_s = time.monotonic()
            raise Overloaded
        self.taken += 1
        self._by_address[address] = taken + 1
        try:
            yield
        finally:
            self.taken -= 1
            left = self._by_address[address] - 1
            if left:
                self._by_address[address] = left
            else:
                del self._by_address[address]


class Pools:
    """Notices and streams have places of their own, so that neither can be kept out by other calls."""

    def __init__(self, bounds: Callable[[], Bounds], trusted_proxies: tuple[Network, ...] = ()) -> None:
        """A trusted proxy has no bound of its own: it bounds its callers itself."""
        self.calls = Pool(lambda: bounds().grpc_calls, lambda: bounds().grpc_address_calls)
        self.notices = Pool(lambda: bounds().grpc_calls, lambda: bounds().grpc_address_calls)
        self.streams = Pool(lambda: bounds().grpc_streams, lambda: bounds().grpc_address_streams)

        @lru_cache(maxsize=4096)
        def address(peer: str) -> str:
            return "" if not peer or contains(trusted_proxies, peer) else counted(peer, (), ())

        self.address = address
        self.connections = AddressBound(lambda: bounds().grpc_address_connections, address)

    @property
    def full(self) -> bool:
        """Whether calls or notices were refused lately."""
        return self.calls.full or self.notices.full

    def taken(self) -> dict[str, int]:
        """How many places are taken now, by pool."""
        return {"calls": self.calls.taken, "notices": self.notices.taken, "streams": self.streams.taken}
