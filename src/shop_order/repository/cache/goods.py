"""Goods for cart views; prices of orders always come from the goods service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import orjson

from shop_order.domain.ports import Clock, GoodsCatalogue
from shop_order.domain.valueobject.item import Goods
from shop_order.repository.cache import Cache, CacheDown

ABSENT = b"-"


class CachedGoods:
    """See `domain.ports.GoodsCatalogue`; results are at most `ttl_ms` old.

    The goods service has no versions: the time of the request is used instead.
    """

    def __init__(
        self,
        goods: GoodsCatalogue,
        cache: Cache,
        *,
        ttl_ms: Callable[[], int],
        clock: Clock,
        jitter: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        """`clock` is real time, `jitter` returns 0..1, `count` gets the outcome of each look-up."""
        self._goods = goods
        self._cache = cache
        self._ttl_ms = ttl_ms
        self._now = clock
        self._jitter = jitter
        self._count = count

    async def get_many(self, goods_ids: Sequence[int]) -> Mapping[int, Goods]:
        if not (ttl_ms := self._ttl_ms()):
            return await self._goods.get_many(goods_ids)
        kept = dict(zip(goods_ids, await asyncio.gather(*map(self._read, goods_ids)), strict=True))
        found = {id: goods for id, goods in kept.items() if isinstance(goods, Goods)}
        if missing := [id for id, goods in kept.items() if goods is None]:
            asked_ms = self._now()
            fresh = await self._goods.get_many(missing)
            found |= {id: fresh[id] for id in missing if id in fresh}
            await asyncio.gather(*(self._keep(id, fresh.get(id), asked_ms, ttl_ms) for id in missing))
        return found

    async def _read(self, goods_id: int) -> Goods | bytes | None:
        try:
            entry = await self._cache.get(key_of(goods_id))
        except CacheDown:
            self._count("down")
            return None
        if entry and entry.value == ABSENT:
            self._count("absent")
            return ABSENT
        found = decode(entry.value) if entry else None
        self._count("hit" if found else "miss")
        return found

    async def _keep(self, goods_id: int, goods: Goods | None, asked_ms: int, ttl_ms: int) -> None:
        lasts_ms = int(ttl_ms * (1 - 0.2 * self._jitter())) or 1
        try:
            await self._cache.put(key_of(goods_id), asked_ms, encode(goods) if goods else ABSENT, lasts_ms)
        except CacheDown:
            return


def key_of(goods_id: int) -> str:
    """Return the cache key."""
    return f"goods:{{{goods_id}}}"


def encode(goods: Goods) -> bytes:
    """Encode goods as JSON."""
    return orjson.dumps([goods.id, goods.name, goods.image, goods.price_fen, goods.on_sale])


def decode(value: bytes) -> Goods | None:
    """Decode goods, None if the bytes are malformed."""
    try:
        return Goods(*orjson.loads(value))
    except (ValueError, TypeError):
        return None
