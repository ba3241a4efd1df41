"""What a registry must do: tell others where we are, tell us where they are, and lend locks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class RegistryAway(Exception):
    """The registry can't be asked now, or refused; the text says why."""


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
        """One for each address."""
        return f"{self.name}-{self.host}-{self.port}"


class Lease(Protocol):
    """A lock that was given for a while."""

    @property
    def fence(self) -> int:
        """Grows with every holder: who stores it can refuse what an earlier holder sends late."""
        ...

    def held(self) -> bool:
        """Whether it is certainly still ours, by our own clock: ends before another can have it."""
        ...

    async def put(self, key: str, value: bytes) -> bool:
        """Store a value only while the lock is ours, decided by the registry itself; tells whether it did.

        Raises RegistryAway.
        """
        ...

    async def give_back(self) -> None:
        """Let the next one have it at once; again changes nothing. Raises RegistryAway."""
        ...


class Registry(Protocol):
    """Every method but `watch` raises RegistryAway."""

    async def register(self, instance: Instance) -> None:
        """Say where we are; again for an instance that is known changes nothing."""
        ...

    async def knows(self, instance: Instance) -> bool:
        """Whether it still has our registration: a registry may lose its memory."""
        ...

    async def deregister(self, instance: Instance) -> None:
        """Say that nobody should call us any more."""
        ...

    def watch(self, name: str) -> AsyncIterator[Sequence[str]]:
        """`host:port` of every healthy instance of a service, at once and after each change; never ends.

        While the registry is away the last answer stands.
        """
        ...

    async def lock(self, name: str, ttl_s: float) -> Lease | None:
        """The lock, or None while another has it."""
        ...

    async def get(self, key: str) -> bytes | None:
        """A value that `Lease.put` stored."""
        ...

    async def values_below(self, prefix: str) -> Mapping[str, bytes]:
        """Every such value whose key begins so, by key."""
        ...

    async def aclose(self) -> None:
        """End every connection."""
        ...
