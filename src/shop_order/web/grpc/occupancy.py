"""How many calls and streams may be open at once: in all, and from one address."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol

from shop_order.domain.errors import Overloaded
from shop_order.pkg.grpc.server import AddressBound, Handler
from shop_order.web.grpc.call import Call, peer_address
from shop_order.web.middleware.client_address import Network, contains, counted

NOTICES = frozenset({"/order.OrderService/NotifyPayment", "/shop.order.Order/OrderPayCallback"})
FULL_FOR_S = 10.0  # so long after its last refusal a pool is called full


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

        self._address = address
        self.connections = AddressBound(lambda: bounds().grpc_address_connections, address)

    @property
    def full(self) -> bool:
        """Whether calls or notices were refused lately."""
        return self.calls.full or self.notices.full

    def taken(self) -> dict[str, int]:
        """How many places are taken now, by pool."""
        return {"calls": self.calls.taken, "notices": self.notices.taken, "streams": self.streams.taken}

    def unary(self, method: str, handler: Handler[Call]) -> Handler[Call]:
        """The link for calls with one answer."""
        return self._link(self.notices if method in NOTICES else self.calls, handler)

    def stream(self, method: str, handler: Handler[Call]) -> Handler[Call]:
        """The link for streams."""
        return self._link(self.streams, handler)

    def _link(self, pool: Pool, handler: Handler[Call]) -> Handler[Call]:
        async def placed(call: Call) -> bytes:
            with pool.place(self._address(peer_address(call.context.peer()))):
                return await handler(call)

        return placed
