"""Service registries: what one must do, and the choice by the scheme of REGISTRY__URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class RegistryUnavailable(Exception):
    """The registry can't be reached, or refused; the text says why."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One running service, as specification 6.2 registers it."""

    name: str
    host: str
    port: int
    tags: tuple[str, ...] = ()
    health: str = ""  # the name that the gRPC health check asks for
    tls: bool = False

    @property
    def id(self) -> str:
        """Unique per address."""
        return f"{self.name}-{self.host}-{self.port}"


class RegistryLock(Protocol):
    """A lock held for a limited time."""

    @property
    def fence(self) -> int:
        """Grows with every holder, so that late writes of an earlier holder can be refused."""
        ...

    def held(self) -> bool:
        """Whether it is certainly still ours, by our own clock: false before another can have it."""
        ...

    async def put(self, key: str, value: bytes) -> bool:
        """Store a value only while the lock is ours, as the registry decides; whether it did.

        Raises RegistryUnavailable.
        """
        ...

    async def release(self) -> None:
        """Release it; idempotent. Raises RegistryUnavailable."""
        ...


class Registry(Protocol):
    """Every method but `watch` raises RegistryUnavailable."""

    async def register(self, instance: Instance) -> None:
        """Register the instance; idempotent."""
        ...

    async def knows(self, instance: Instance) -> bool:
        """Whether the registration is still there: a registry may lose its data."""
        ...

    async def deregister(self, instance: Instance) -> None:
        """Remove the registration."""
        ...

    def watch(self, name: str) -> AsyncIterator[Sequence[str]]:
        """`host:port` of every healthy instance of a service, at once and after each change; never ends.

        While the registry is away the last answer stays in effect.
        """
        ...

    async def lock(self, name: str, ttl_s: float) -> RegistryLock | None:
        """The lock, or None while another has it."""
        ...

    async def get(self, key: str) -> bytes | None:
        """A value that `RegistryLock.put` stored."""
        ...

    async def values_below(self, prefix: str) -> Mapping[str, bytes]:
        """All values whose key has this prefix, by key."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


def open_registry(url: str) -> Registry:
    """The registry of an engine URL, not contacted yet. Raises ValueError for an unknown scheme."""
    scheme = url.partition(":")[0]
    if scheme == "none":
        from shop_order.pkg.registry.none import NoRegistry

        return NoRegistry()
    if scheme == "consul":
        from shop_order.pkg.registry.consul import Consul

        return Consul(url)
    raise ValueError(f"no registry for {scheme}:")


__all__ = ["Instance", "Registry", "RegistryLock", "RegistryUnavailable", "open_registry"]
