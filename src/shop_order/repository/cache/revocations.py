"""Revoked tokens that have not expired: one list for all instances."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress

from shop_order.domain.ports import Clock
from shop_order.repository.cache import Cache, CacheDown

LIST = "revoked"
REFRESH_S = 1.0


class Revocations:
    """See `web.auth.tokens.Revoked`: a local copy of the list, so that requests need no cache read.

    A revocation takes effect in all instances within two seconds. While the cache is down the copy stays in
    effect; revocations that the cache has lost are sent again.
    """

    def __init__(self, cache: Cache, clock: Clock) -> None:
        """`clock` is real time."""
        self._cache = cache
        self._now = clock
        self._until_ms: dict[str, int] = {}
        self._before_s: dict[str, float] = {}
        self._revision = -1
        self.generation = 0

    def covers(self, token: str, subject: str, issued_s: float) -> bool:
        """Return whether the token, or every token of its subject issued until then, is revoked."""
        if not self._until_ms:
            return False
        return token_mark(token) in self._until_ms or issued_s <= self._before_s.get(subject, -1)

    async def revoke_token(self, token: str, until_ms: int) -> None:
        """Revoke this token; `until_ms` is when it expires. Raises CacheDown."""
        await self._add(token_mark(token), until_ms)

    async def revoke_subject(self, subject: str, before_s: int, until_ms: int) -> None:
        """Revoke all tokens of `subject` issued until `before_s`. Raises CacheDown."""
        await self._add(f"subject:{before_s}:{subject}", until_ms)

    async def refresh(self) -> None:
        """Fetch the revocations of other instances. Raises CacheDown."""
        now_ms = self._now()
        found = await self._cache.marks(LIST, self._revision, now_ms)
        if found is None:
            return
        forgotten = {m: end for m, end in self._until_ms.items() if end > now_ms and m not in found.until_ms}
        for member, until_ms in forgotten.items():
            await self._cache.mark(LIST, member, until_ms)
        self._revision = found.revision
        self._take({**found.until_ms, **forgotten})

    async def keep_fresh(self) -> None:
        """Refresh periodically, as a background loop."""
        while True:
            with suppress(CacheDown):
                await self.refresh()
            await asyncio.sleep(REFRESH_S)

    async def _add(self, member: str, until_ms: int) -> None:
        # Here at once, in other instances within two seconds.
        self._take({**self._until_ms, member: until_ms})
        self._revision = -1  # the next refresh sends it again if the cache lost it
        await self._cache.mark(LIST, member, until_ms)

    def _take(self, until_ms: dict[str, int]) -> None:
        if until_ms == self._until_ms:
            return
        self._until_ms = until_ms
        self._before_s = {}
        for member in until_ms:
            kind, _, rest = member.partition(":")
            if kind == "subject":
                before_s, _, subject = rest.partition(":")
                self._before_s[subject] = max(float(before_s), self._before_s.get(subject, 0))
        self.generation += 1


def token_mark(token: str) -> str:
    """Return the token's hash for the list."""
    return f"token:{hashlib.sha256(token.encode()).hexdigest()}"
