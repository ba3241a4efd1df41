"""Service registries; the scheme of the URL picks the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class RegistryUnavailable(Exception):
    """The registry can't be reached, or returned an error."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A running service (specification 6.2)."""

    name: str
    host: str
    port: int
    tags: tuple[str, ...] = ()
    health: str = ""  # the service name of the gRPC health check
    tls: bool = False

    @property
    def id(self) -> str:
        """Unique per address."""
        return f"{self.name}-{self.host}-{self.port}"


class RegistryLock(Protocol):
    """A lock held for a limited time."""

    fence: int
    """Increases with every holder, so that late writes of earlier holders can be refused."""

    def held(self) -> bool:
        """Whether the lock is certainly still ours, by our clock."""

    async def put(self, key: str, value: bytes) -> bool:
        """Store a value if the registry confirms that the lock is ours; return whether it was stored.

        Raises RegistryUnavailable.
        """

    async def release(self) -> None:
        """Release the lock; idempotent. Raises RegistryUnavailable."""


class Registry(Protocol):
    """Every method but `watch` raises RegistryUnavailable."""

    async def register(self, instance: Instance) -> None:
        """Register the instance; idempotent."""

    async def knows(self, instance: Instance) -> bool:
        """Whether the instance is registered: a registry may lose its data."""

    async def deregister(self, instance: Instance) -> None:
        """Remove the registration."""

    def watch(self, name: str) -> AsyncIterator[Sequence[str]]:
        """Yield `host:port` of all healthy instances of a service, at once and after each change.

        Never ends. While the registry is unreachable, nothing is yielded.
        """

    async def lock(self, name: str, ttl_s: float) -> RegistryLock | None:
        """Return the lock, or None while another process has it."""

    async def get(self, key: str) -> bytes | None:
        """Return a value stored by `RegistryLock.put`."""

    async def values_below(self, prefix: str) -> Mapping[str, bytes]:
        """Return the values whose keys have this prefix, by key."""

    async def aclose(self) -> None:
        """Close all connections."""


def open_registry(url: str) -> Registry:
    """Return the registry of an engine URL, not contacted yet. Raises ValueError for an unknown scheme."""
    scheme = url.partition(":")[0]
    if scheme == "none":
        from shop_order.pkg.registry.none import NoRegistry

        return NoRegistry()
    if scheme == "consul":
        from shop_order.pkg.registry.consul import Consul

        return Consul(url)
    raise ValueError(f"no registry for {scheme}:")
