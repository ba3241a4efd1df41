"""A master that dies under a sentinel, and a cluster that loses a node: found again without a restart."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shop_order.repository.cache import CacheDown, Entry
from tests.contract.cache_engine import instance, until_up
from tests.faults.redis_server import RedisServer
from tests.shop import free_ports

pytestmark = pytest.mark.engine("redis")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica."""
    with RedisServer(tmp_path / "master") as master:
        await master.ready()
        with RedisServer(tmp_path / "replica", "--replicaof", "127.0.0.1", str(master.port)) as replica:
            await replica.ready()
            async with asyncio.timeout(20):
                while True:
                    if "master_link_status:up" in replica.says("INFO", "replication"):
                        break
                    await asyncio.sleep(0.05)
            yield master, replica


async def test_when_the_master_dies_the_promoted_replica_is_used(
    pair: tuple[RedisServer, RedisServer], tmp_path: Path
) -> None:
    master, replica = pair
    (tmp_path / "sentinel.conf").write_text(
        f"sentinel monitor shop 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds shop 300\nsentinel failover-timeout shop 2000\n"
    )
    with RedisServer(tmp_path / "sentinel", config=tmp_path / "sentinel.conf") as sentinel:
        await sentinel.ready()
        async with asyncio.timeout(15):
            while True:
                if f"port={replica.port}" in sentinel.says("INFO", "sentinel") or str(
                    replica.port
                ) in sentinel.says("SENTINEL", "replicas", "shop"):
                    break
                await asyncio.sleep(0.1)
        async with instance(f"redis+sentinel://127.0.0.1:{sentinel.port}/shop", timeout_s=0.2) as one:
            await until_up(one.cache)
            await one.cache.put("k", 1, b"before", 60_000)
            master.kill()
            with pytest.raises(CacheDown):
                await one.cache.get("k")
            await until_up(one.cache, within_s=30)
            await one.cache.put("k", 2, b"after", 60_000)
            assert await one.cache.get("k") == Entry(2, b"after")
            assert "after" in replica.says("GET", "order-service:1:k")


async def test_a_cluster_that_lost_a_node_is_left_out_until_the_node_is_back(tmp_path: Path) -> None:
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                RedisServer(
                    tmp_path / f"node-{n}",
                    *("--cluster-enabled", "yes", "--cluster-port", str(free_ports(1)[0])),
                    *("--cluster-node-timeout", "1000"),
                )
            )
            for n in range(3)
        ]
        await asyncio.gather(*(node.ready() for node in nodes))
        places = [f"127.0.0.1:{node.port}" for node in nodes]
        making = ["redis-cli", "--cluster", "create", *places, "--cluster-replicas", "0", "--cluster-yes"]
        await asyncio.to_thread(subprocess.run, making, check=True, capture_output=True, timeout=60)
        async with asyncio.timeout(20):
            for node in nodes:
                while True:
                    if "cluster_state:ok" in node.says("CLUSTER", "INFO"):
                        break
                    await asyncio.sleep(0.05)
        async with instance("redis+cluster://" + ",".join(places), timeout_s=0.5) as one:
            await until_up(one.cache)
            keys = [f"order:{{{n}}}" for n in range(60)]
            await asyncio.gather(*(one.cache.put(key, 1, b"v", 600_000) for key in keys))
            nodes[2].kill()
            answers = await asyncio.gather(*(one.cache.get(key) for key in keys), return_exceptions=True)
            assert any(isinstance(answer, CacheDown) for answer in answers)
            nodes[2].spawn()
            await until_up(one.cache, within_s=30)

            async def all_there() -> bool:
                try:
                    found = await asyncio.gather(*(one.cache.get(key) for key in keys))
                except CacheDown:
                    return False
                return found == [Entry(1, b"v")] * len(keys)

            async with asyncio.timeout(30):
                while True:
                    if await all_there():
                        break
                    await asyncio.sleep(0.1)
