"""State shared by instances besides the database: the cache, and what is built on it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from shop_order.configs import Settings
from shop_order.configs.settings import key_bytes
from shop_order.domain.ports import Clock, EventPublisher, GoodsCatalogue, Orders
from shop_order.pkg.log import get_logger
from shop_order.pkg.metrics import Metrics
from shop_order.pkg.ratelimit import open_limiter
from shop_order.pkg.redis import open_redis
from shop_order.pkg.signing import Signer, SubmitTokens
from shop_order.repository.cache import open_cache
from shop_order.repository.cache.flights import KeyFlights, Turns
from shop_order.repository.cache.goods import CachedGoods
from shop_order.repository.cache.orders import InvalidatingPublisher, OrderTimes, OrderViews, cached_orders
from shop_order.repository.cache.revocations import Revocations

log = get_logger("cache")
REDIS_ORDER_TTL_S, REDIS_GOODS_TTL_S = 60.0, 10.0


class SharedCache:
    """The cache and what is built on it. Everything works without it, but more slowly or per instance."""

    def __init__(self, settings: Callable[[], Settings], metrics: Metrics, real_clock: Clock) -> None:
        """Raises ValueError: no key for links and tokens."""
        self._settings = settings
        self._metrics = metrics
        self._real_clock = real_clock
        self._refresh: asyncio.Task[None] | None = None
        cache, limit = settings().cache, settings().limit
        connection = open_redis(
            cache.url,
            timeout_s=lambda: self._settings().cache.timeout_s,
            on_change=self._changed,
            observe=metrics.batch("redis"),
        )
        self._is_redis = connection is not None
        self.cache = open_cache(cache.url, max_entries=cache.max_entries, redis=connection)
        self.limiter = open_limiter(cache.url, limit.rate_keys, connection)
        self.flights = KeyFlights(self.cache, new_ticket=lambda: secrets.token_hex(8), lease=self._is_redis)
        self.revocations = Revocations(self.cache, real_clock)
        self.turns = Turns(self.cache, new_ticket=lambda: secrets.token_hex(8))
        self.signer = Signer(key_bytes(settings().auth.link_keys))
        self.tokens = SubmitTokens(self.signer, secrets.token_bytes)

    def orders(self, stored: Orders) -> tuple[Orders, OrderViews | None]:
        """Return the orders to change, and a cached view of them for display, None without a cache."""
        if not self._order_times().order_ms:
            return stored, None
        count = self._metrics.cache("order")
        views = OrderViews(stored, self.cache, times=self._order_times, jitter=_jitter, count=count)
        return cached_orders(stored, views), views

    def goods(self, goods: GoodsCatalogue) -> GoodsCatalogue | None:
        """Return cached goods for display; None without a cache."""
        if not self._goods_ms():
            return None
        clock, count = self._real_clock, self._metrics.cache("goods")
        return CachedGoods(goods, self.cache, ttl_ms=self._goods_ms, clock=clock, jitter=_jitter, count=count)

    def inboxes(self, inboxes: EventPublisher, views: OrderViews | None) -> EventPublisher:
        """Return the inboxes; with a shared cache, published events also invalidate cached orders."""
        return InvalidatingPublisher(inboxes, views) if views and self._is_redis else inboxes

    async def open(self) -> None:
        """Connect; an unreachable cache is not an error."""
        await self.cache.open()
        if self.cache.up:
            self._metrics.cache_up(True)
        if self._is_redis:
            self._refresh = asyncio.create_task(self.revocations.keep_fresh(), name="revocations")

    async def close(self) -> None:
        """Disconnect."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.gather(self._refresh, return_exceptions=True)
        await self.cache.close()

    def _changed(self, up: bool, why: str) -> None:
        self._metrics.cache_up(up)
        if up:
            log.info("cache_up")
        else:
            log.warning("cache_down", why=why)

    def _order_times(self) -> OrderTimes:
        cache = self._settings().cache
        order_ms = self._ms(cache.order_ttl_s, REDIS_ORDER_TTL_S)
        return OrderTimes(order_ms, int(cache.absent_ttl_s * 1000))

    def _goods_ms(self) -> int:
        return self._ms(self._settings().cache.goods_ttl_s, REDIS_GOODS_TTL_S)

    def _ms(self, chosen_s: float | None, with_redis_s: float) -> int:
        if chosen_s is None:
            chosen_s = with_redis_s if self._is_redis else 0.0
        return int(chosen_s * 1000)


def _jitter() -> float:
    return secrets.randbelow(1000) / 1000
