"""Redis killed, frozen, full and back: buyers go on, nobody waits for it twice, and nothing old is shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shop_order.repository.cache import CacheDown, Entry
from tests.contract.cache_engine import instance, until_up
from tests.faults.redis_server import RedisServer
from tests.shop import Shop

TIMEOUT_S = 0.1
pytestmark = pytest.mark.engine("redis")


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A running Redis."""
    with RedisServer(tmp_path / "redis") as server:
        await server.ready()
        yield server


@pytest.fixture
async def shop(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Shop]:
    """The whole Shop on it."""
    async with Shop(tmp_path, CACHE__URL=redis.url, LIMIT__USER_RATE="1000", LIMIT__USER_BURST="1000") as one:
        yield one


async def missing(shop: Shop) -> tuple[int, str, list[str]]:
    """What /readyz says."""
    said = await shop.http.get("/readyz")
    return said.status_code, said.json()["status"], said.json()["missing"]


async def is_ready(shop: Shop) -> bool:
    return (await missing(shop))[:2] == (200, "ready")


async def is_degraded(shop: Shop) -> bool:
    return await missing(shop) == (200, "degraded", ["cache"])


async def metric(shop: Shop, name: str) -> float:
    text = (await shop.http.get("/metrics")).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


async def buy(shop: Shop, user: int = 7) -> str:
    """An order placed and cancelled, looked at in between; its number."""
    order_sn = str((await shop.place(user))["order_sn"])
    assert (await shop.order(order_sn, user))["status"] == 1
    answer = await shop.http.post(
        f"/api/v1/orders/{order_sn}/cancel", json={"reason": ""}, headers=shop.bearer(user)
    )
    assert answer.status_code == 200, answer.text
    assert (await shop.order(order_sn, user))["status"] == 5
    return order_sn


async def test_buyers_go_on_while_redis_is_dead_and_it_is_used_again_when_it_is_back(
    shop: Shop, redis: RedisServer
) -> None:
    await shop.until(lambda: is_ready(shop))
    await buy(shop)
    assert await metric(shop, 'shop_order_cache_lookups_total{cache="order",outcome="hit"}') > 0
    assert await metric(shop, "shop_order_cache_up") == 1
    redis.kill()
    for user in range(10, 15):
        await buy(shop, user)
    assert await is_degraded(shop)
    assert await metric(shop, "shop_order_cache_up") == 0
    assert await metric(shop, "shop_order_cache_losses_total") == 1
    redis.spawn()
    await shop.until(lambda: is_ready(shop))
    hits = await metric(shop, 'shop_order_cache_lookups_total{cache="order",outcome="hit"}')
    await buy(shop)
    assert await metric(shop, 'shop_order_cache_lookups_total{cache="order",outcome="hit"}') > hits
    await shop.check_doctor()


async def test_a_frozen_redis_costs_its_timeout_once_not_at_every_request(
    shop: Shop, redis: RedisServer
) -> None:
    order_sn = await buy(shop)
    redis.freeze()
    try:
        started = time.monotonic()
        for _ in range(40):
            assert (await shop.order(order_sn))["status"] == 5
        took_s = time.monotonic() - started
    finally:
        redis.thaw()
    # 40 requests with two or three questions each would wait 8 s or more.
    assert took_s < 3.0
    await shop.until(lambda: is_ready(shop))


async def test_what_changed_while_redis_was_away_is_never_shown_as_it_was(
    shop: Shop, redis: RedisServer
) -> None:
    order_sn = str((await shop.place())["order_sn"])
    assert (await shop.order(order_sn))["status"] == 1
    assert f'"{order_sn}"' in redis.says("GET", f"order-service:1:order:{{{order_sn}}}").replace("\\", "")
    redis.kill()
    answer = await shop.http.post(
        f"/api/v1/orders/{order_sn}/cancel", json={"reason": ""}, headers=shop.bearer()
    )
    assert answer.status_code == 200
    redis.spawn()
    await redis.ready()
    assert "|" in redis.says("GET", f"order-service:1:order:{{{order_sn}}}"), "it still has the old one"
    async with asyncio.timeout(15):
        while True:
            assert (await shop.order(order_sn))["status"] == 5
            if await is_ready(shop):
                break
    assert (await shop.order(order_sn))["status"] == 5


async def test_a_service_that_starts_without_redis_is_degraded_and_finds_it_later(
    redis: RedisServer, tmp_path: Path
) -> None:
    redis.kill()
    async with Shop(tmp_path, CACHE__URL=redis.url) as shop:
        assert await is_degraded(shop)
        await buy(shop)
        redis.spawn()
        await shop.until(lambda: is_ready(shop))


async def test_limits_hold_by_each_instance_alone_while_redis_is_away(
    redis: RedisServer, tmp_path: Path
) -> None:
    async with Shop(tmp_path, CACHE__URL=redis.url, LIMIT__USER_RATE="1", LIMIT__USER_BURST="5") as shop:

        async def codes(user: int) -> list[int]:
            headers = shop.bearer(user)
            return [(await shop.http.get("/api/v1/orders", headers=headers)).status_code for _ in range(12)]

        assert 429 in await codes(7)
        assert "rate:{user:7}" in redis.says("KEYS", "*rate*")
        redis.kill()
        assert (await codes(8)).count(429) >= 5


async def test_a_redis_without_memory_is_left_out_until_it_has_some(shop: Shop, redis: RedisServer) -> None:
    await buy(shop)
    redis.says("CONFIG", "SET", "maxmemory", "1")
    for _ in range(3):
        await buy(shop)
    redis.says("CONFIG", "SET", "maxmemory", "0")
    await shop.until(lambda: is_ready(shop))


async def test_a_redis_that_takes_no_writes_is_missing_as_long_as_it_does(
    shop: Shop, redis: RedisServer
) -> None:
    """A replica after a failover answers what is read, and every PING."""
    await buy(shop)
    redis.says("REPLICAOF", "127.0.0.1", "9")
    redis.says("CONFIG", "SET", "replica-serve-stale-data", "yes")
    for _ in range(30):
        await buy(shop)
        assert await is_degraded(shop)  # it does not come and go
    redis.says("REPLICAOF", "NO", "ONE")
    await shop.until(lambda: is_ready(shop))
    await buy(shop)


async def test_a_revoked_token_stays_refused_while_redis_is_away_and_after_it_came_back_empty(
    shop: Shop, redis: RedisServer
) -> None:
    revocations: Any = shop.core.shared.revocations
    token = shop.token(9)

    async def code() -> int:
        async with httpx.AsyncClient(base_url=shop.url, trust_env=False) as http:
            headers = {"Authorization": f"Bearer {token}"}
            return (await http.get("/api/v1/orders", headers=headers)).status_code

    assert await code() == 200
    await revocations.revoke_token(token, time.time_ns() // 1_000_000 + 600_000)
    assert await code() == 401
    await asyncio.sleep(1.2)  # one look at the list
    redis.kill()
    assert await code() == 401
    for file in redis.folder.rglob("*.aof"):
        file.write_bytes(b"")
    for file in redis.folder.rglob("*.rdb"):
        file.unlink()
    for file in redis.folder.rglob("*.manifest"):
        file.unlink()
    redis.spawn()
    await shop.until(lambda: is_ready(shop))

    async def told_again() -> bool:
        return "token:" in redis.says("ZRANGE", "order-service:1:{revoked}", "0", "-1")

    await shop.until(told_again)
    assert await code() == 401


async def test_a_cache_that_is_back_is_believed_only_after_it_was_told_what_it_missed(
    redis: RedisServer,
) -> None:
    async with instance(redis.url, timeout_s=TIMEOUT_S) as one:
        keys = [f"order:{{{n}}}" for n in range(300)]
        for key in keys:
            await one.cache.put(key, 1, b"old", 60_000)
        redis.kill()
        for key in keys:
            await one.cache.outdate(key, 2, 60_000)
        assert not one.cache.up
        with pytest.raises(CacheDown):
            await one.cache.get(keys[0])
        redis.spawn()
        await until_up(one.cache)
        assert [await one.cache.get(key) for key in keys] == [Entry(2, b"")] * 300


async def test_a_caller_who_gives_up_disturbs_no_other(redis: RedisServer) -> None:
    async with instance(redis.url) as one:
        for n in range(50):
            asking = [asyncio.create_task(one.cache.put(f"k:{n}:{m}", 1, b"%d" % m, 9000)) for m in range(8)]
            await asyncio.sleep(0)
            asking[3].cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            assert [await one.cache.get(f"k:{n}:{m}") for m in (0, 7)] == [Entry(1, b"0"), Entry(1, b"7")]
        assert one.cache.up
