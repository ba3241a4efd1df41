"""What every registry must do."""

from __future__ import annotations

import asyncio
import uuid

from shop_order.cmd.wiring.roots import ROOTS, RegistryWitness
from shop_order.pkg.registry import Instance, Registry
from shop_order.pkg.registry.consul import Consul


async def test_of_many_who_want_a_lock_one_gets_it_until_it_is_given_back(registry: Registry) -> None:
    name = uuid.uuid4().hex
    asked = await asyncio.gather(*(registry.lock(name, 10) for _ in range(8)))
    (first,) = [lease for lease in asked if lease is not None]
    assert first.held()
    assert await registry.lock(name, 10) is None
    await first.release()
    assert not first.held()
    second = await registry.lock(name, 10)
    assert second is not None
    assert second.fence > first.fence, "a later holder must be told from an earlier one"
    await second.release()


async def test_only_the_holder_of_a_lock_can_store_a_value(registry: Registry) -> None:
    name, key = uuid.uuid4().hex, f"order-service/locks/{uuid.uuid4().hex}/done"
    assert await registry.get(key) is None
    first = await registry.lock(name, 10)
    assert first is not None
    assert await first.put(key, b"day 1")
    await first.release()
    second = await registry.lock(name, 10)
    assert second is not None
    assert not await first.put(key, b"too late")
    assert await registry.get(key) == b"day 1"
    assert await second.put(key, b"day 2")
    assert await registry.get(key) == b"day 2"
    await second.release()


async def test_an_instance_is_known_until_it_leaves(registry: Registry) -> None:
    instance = Instance(f"service-{uuid.uuid4().hex[:8]}", "127.0.0.1", 9)
    assert not await registry.knows(instance)
    await registry.register(instance)
    await registry.register(instance)
    assert await registry.knows(instance)
    await registry.deregister(instance)
    assert not await registry.knows(instance)
    await registry.deregister(instance)


async def test_values_are_found_by_how_their_keys_begin(registry: Registry) -> None:
    name, below = uuid.uuid4().hex, f"order-service/locks/{uuid.uuid4().hex}/"
    assert await registry.values_below(below) == {}
    lease = await registry.lock(name, 10)
    assert lease is not None
    for day in ("1", "2"):
        assert await lease.put(f"{below}{day}", f"day {day}".encode())
    assert await lease.put(f"{below.removesuffix('/')}-else/3", b"of another")
    assert await registry.values_below(below) == {f"{below}1": b"day 1", f"{below}2": b"day 2"}
    await lease.release()


async def test_roots_are_told_by_the_lock_s_holder_alone(registry: Registry) -> None:
    lock, database = uuid.uuid4().hex, f"test_{uuid.uuid4().hex}"
    first = await registry.lock(lock, 10)
    assert first is not None
    early = RegistryWitness(registry, database, first)
    assert await early.get("2026-11-18") is None
    assert await early.put("2026-11-18", b"of the first")
    await first.release()
    second = await registry.lock(lock, 10)
    assert second is not None
    assert not await early.put("2026-11-19", b"too late")
    assert not await RegistryWitness(registry, database).put("2026-11-19", b"by nobody")
    later = RegistryWitness(registry, database, second)
    assert await later.put("2026-11-19", b"of the second")
    assert await later.all() == {"2026-11-18": b"of the first", "2026-11-19": b"of the second"}
    assert await RegistryWitness(registry, database[:-1]).all() == {}, "of another database"
    await second.release()
    if isinstance(registry, Consul):
        await registry.request("DELETE", f"/kv/{ROOTS}{database}", params={"recurse": "true"})
