"""What any instance has claimed: idempotency keys in work, used submit tokens, turns at periodic work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from shop_order.domain.errors import KeyReused
from shop_order.pkg.signing import SUBMIT_TOKEN_PREFIX
from shop_order.repository.cache.base import Cache, CacheDown

LEASE_MS = 15_000  # longer than any request may take
TOKEN_MS = 3_600_000  # a submit token lives no longer


class KeyFlights:
    """See `service.idempotency.SharedFlights`; without a cache the store's unique key decides alone."""

    def __init__(self, cache: Cache, *, new_ticket: Callable[[], str], lease: bool) -> None:
        """`lease` False where there is only one instance, which knows its own flights."""
        self._cache = cache
        self._new_ticket = new_ticket
        self._lease = lease

    async def enter(self, scope: str, key: str) -> str | None:
        """A ticket, empty if the cache is down; None while another instance works on the key.

        Raises KeyReused: a submit token that another use case took.
        """
        try:
            if key.startswith(SUBMIT_TOKEN_PREFIX):
                await self._use(scope, key)
            if not self._lease:
                return ""
            ticket = self._new_ticket()
            return (
                ticket
                if await self._cache.claim(_name("flight", scope, key), ticket, LEASE_MS) == ticket
                else None
            )
        except CacheDown:
            return ""

    async def leave(self, scope: str, key: str, ticket: str) -> None:
        """The work is done, or was abandoned."""
        if not ticket:
            return
        try:
            await self._cache.release(_name("flight", scope, key), ticket)
        except CacheDown:
            return  # the lease expires

    async def _use(self, scope: str, token: str) -> None:
        user, _, use = scope.partition(":")
        if await self._cache.claim(_name("token", user, token), use, TOKEN_MS) != use:
            raise KeyReused


class Turns:
    """Turns at what is done once per interval, by any instance that shares the cache."""

    def __init__(self, cache: Cache, *, new_ticket: Callable[[], str]) -> None:
        self._cache = cache
        self._new_ticket = new_ticket

    async def take(self, what: str, for_ms: int) -> bool:
        """Whether nobody else took this turn within `for_ms`; always true while the cache is down."""
        ticket = self._new_ticket()
        try:
            return await self._cache.claim(f"turn:{{{what}}}", ticket, for_ms) == ticket
        except CacheDown:
            return True


def _name(kind: str, scope: str, key: str) -> str:
    # Keys come from callers: hashed, they have a bound, and can't name anything else.
    user = scope.partition(":")[0]
    digest = hashlib.sha256(f"{scope}\n{key}".encode()).hexdigest()
    return f"{kind}:{{user:{user}}}:{digest[:40]}"
