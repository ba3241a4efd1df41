"""Tokens that are revoked before they expire: one list for all instances."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress

from shop_order.domain.ports import Clock
from shop_order.repository.cache.base import Cache, CacheDown

LIST = "revoked"
REFRESH_S = 1.0


class Revocations:
    """See `web.auth.tokens.Revoked`: a copy of the list in the process, so that no request asks the cache.

    A revocation takes effect everywhere within two seconds. While the cache is down the copy stays in
    effect; what the cache has forgotten is sent to it again.
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
        """Whether the token was revoked, or all tokens of its subject up to that time."""
        if not self._until_ms:
            return False
        return token_mark(token) in self._until_ms or issued_s <= self._before_s.get(subject, -1)

    async def revoke_token(self, token: str, until_ms: int) -> None:
        """Refuse this token until it expires anyway. Raises CacheDown."""
        await self._add(token_mark(token), until_ms)

    async def revoke_subject(self, subject: str, before_s: int, until_ms: int) -> None:
        """Refuse all tokens of `subject` up to `before_s`, until they expire anyway. Raises CacheDown."""
        await self._add(f"subject:{before_s}:{subject}", until_ms)

    async def refresh(self) -> None:
        """Fetch what other instances revoked. Raises CacheDown."""
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
        """Background loop."""
        while True:
            with suppress(CacheDown):
                await self.refresh()
            await asyncio.sleep(REFRESH_S)

    async def _add(self, member: str, until_ms: int) -> None:
        self._take({**self._until_ms, member: until_ms})  # here at once, elsewhere within two seconds
        self._revision = -1  # if the cache is down or forgets it, the next refresh sends it again
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
    """A token's name on the list, from which the token can't be derived."""
    return f"token:{hashlib.sha256(token.encode()).hexdigest()}"
