"""Claims that instances share: idempotency keys in progress, used submit tokens, turns at periodic jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from shop_order.domain.errors import KeyReused
from shop_order.pkg.signing import SUBMIT_TOKEN_PREFIX
from shop_order.repository.cache import Cache, CacheDown

LEASE_MS = 15_000  # longer than any request may take
TOKEN_MS = 3_600_000  # the lifetime of a submit token


class KeyFlights:
    """See `service.idempotency.KeysInProgress`; while the cache is down, the store's unique key decides."""

    def __init__(self, cache: Cache, *, new_ticket: Callable[[], str], lease: bool) -> None:
        """`lease` is False with a single instance, which knows its own flights."""
        self._cache = cache
        self._new_ticket = new_ticket
        self._lease = lease

    async def enter(self, scope: str, key: str) -> str | None:
        """Return a ticket, empty if the cache is down; None while another instance works on the key.

        Raises KeyReused for a submit token that another use case has used.
        """
        try:
            if key.startswith(SUBMIT_TOKEN_PREFIX):
                await self._use(scope, key)
            if not self._lease:
                return ""
            ticket = self._new_ticket()
            owner = await self._cache.claim(_name("flight", scope, key), ticket, LEASE_MS)
            return ticket if owner == ticket else None
        except CacheDown:
            return ""

    async def leave(self, scope: str, key: str, ticket: str) -> None:
        """Release the key; does nothing with an empty ticket."""
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
    """Turns at jobs that one of the instances does once per interval."""

    def __init__(self, cache: Cache, *, new_ticket: Callable[[], str]) -> None:
        self._cache = cache
        self._new_ticket = new_ticket

    async def take(self, what: str, for_ms: int) -> bool:
        """Take the turn for `for_ms`; False if another instance has it. True while the cache is down."""
        ticket = self._new_ticket()
        try:
            return await self._cache.claim(f"turn:{{{what}}}", ticket, for_ms) == ticket
        except CacheDown:
            return True


def _name(kind: str, scope: str, key: str) -> str:
    # Keys come from callers: a hash bounds their length and contents.
    user = scope.partition(":")[0]
    digest = hashlib.sha256(f"{scope}\n{key}".encode()).hexdigest()
    return f"{kind}:{{user:{user}}}:{digest[:40]}"
