"""No registry: neighbours are configured by address, and this is the only instance."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence

from shop_order.pkg.registry import Instance


class NoRegistry:
    """`none://`: see `Registry`. Locks are valid within this process."""

    def __init__(self) -> None:
        self._fences = itertools.count(1)
        self._locks: dict[str, LocalLock] = {}
        self.values: dict[str, bytes] = {}
        self._registered: set[str] = set()

    async def register(self, instance: Instance) -> None:
        self._registered.add(instance.id)

    async def knows(self, instance: Instance) -> bool:
        return instance.id in self._registered

    async def deregister(self, instance: Instance) -> None:
        self._registered.discard(instance.id)

    async def watch(self, name: str) -> AsyncIterator[Sequence[str]]:
        raise ValueError(f"{name} is a name, but there is no registry")
        yield ()  # makes this an async iterator

    async def lock(self, name: str, ttl_s: float) -> LocalLock | None:
        holder = self._locks.get(name)
        if holder is not None and holder.held():
            return None
        self._locks[name] = lease = LocalLock(self, next(self._fences))
        return lease

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def values_below(self, prefix: str) -> Mapping[str, bytes]:
        return {key: value for key, value in self.values.items() if key.startswith(prefix)}

    async def aclose(self) -> None:
        self._locks.clear()


class LocalLock:
    """A lock that lasts until it is released."""

    def __init__(self, registry: NoRegistry, fence: int) -> None:
        self._registry = registry
        self._held = True
        self.fence = fence

    def held(self) -> bool:
        return self._held

    async def put(self, key: str, value: bytes) -> bool:
        if self._held:
            self._registry.values[key] = value
        return self._held

    async def release(self) -> None:
        self._held = False
