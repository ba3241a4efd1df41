"""What Consul itself says of what the service told it, and how its answers are followed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from shop_order.cmd.run.job_locks import RETRY_S, JobLocks
from shop_order.cmd.run.registration import HEALTH, SERVICE, TAGS, Registration
from shop_order.cmd.wiring.roots import ROOTS, RegistryWitness
from shop_order.configs.sources.consul_kv import ConsulSource
from shop_order.domain.ports import WitnessUnavailable
from shop_order.pkg.grpc.balancer import BalancedChannel
from shop_order.pkg.grpc.client import open_channel
from shop_order.pkg.registry import Instance, RegistryUnavailable, consul
from shop_order.pkg.registry.consul import Consul
from shop_order.service.upkeep.daily_root import IDLE_S
from shop_order.service.upkeep.daily_root import JOB as DAILY_ROOT
from tests.plugins.engines import available
from tests.shop import Shop

pytestmark = pytest.mark.engine("consul")
URL = available("consul")[0]
TOLD_S = IDLE_S + 15  # on a busy machine Consul's first answer may be late: then a minute later


@pytest.fixture
async def engine() -> AsyncIterator[Consul]:
    """The real one."""
    engine = Consul(URL)
    yield engine
    await engine.aclose()


async def has(engine: Consul, name: str, port: int, state: str) -> None:
    """Register an instance whose check says `state`: passing, warning or critical."""
    check = {"CheckID": f"check-{name}-{port}", "TTL": "60s", "Status": state}
    body = {"ID": f"{name}-{port}", "Name": name, "Address": "127.0.0.1", "Port": port, "Check": check}
    await engine.request("PUT", "/agent/service/register", json=body)


async def next_of(watch: AsyncIterator[Sequence[str]]) -> Sequence[str]:
    return await asyncio.wait_for(anext(watch), 5)


async def test_the_registration_is_that_of_the_specification(engine: Consul) -> None:
    instance = Instance(SERVICE, "127.0.0.1", 59_999, TAGS, HEALTH)
    await engine.register(instance)
    try:
        service: Any = (await engine.request("GET", "/agent/service/order-service-127.0.0.1-59999")).json()
        assert service["Service"] == "order-service"
        assert service["Tags"] == ["order", "payment", "grpc"]
        assert (service["Address"], service["Port"]) == ("127.0.0.1", 59_999)
        checks: Any = (await engine.request("GET", "/agent/checks")).json()
        check = checks["service:order-service-127.0.0.1-59999"]
        assert (check["Type"], check["Interval"], check["Timeout"]) == ("grpc", "10s", "5s")
        catalog: Any = (await engine.request("GET", "/health/checks/order-service")).json()
        (definition,) = [c["Definition"] for c in catalog if c["ServiceID"] == instance.id]
        assert definition.get("DeregisterCriticalServiceAfter", "1m30s") == "1m30s"
    finally:
        await engine.deregister(instance)


async def test_only_passing_instances_are_named_and_each_change_is_told(engine: Consul) -> None:
    name = f"goods-{uuid.uuid4().hex[:8]}"
    watch = engine.watch(name)
    assert await next_of(watch) == ()
    await has(engine, name, 1001, "passing")
    assert await next_of(watch) == ("127.0.0.1:1001",)
    await has(engine, name, 1002, "critical")
    await has(engine, name, 1003, "passing")
    assert await next_of(watch) == ("127.0.0.1:1001", "127.0.0.1:1003")
    await engine.request("PUT", f"/agent/check/fail/check-{name}-1001")
    assert await next_of(watch) == ("127.0.0.1:1003",)
    for port in (1002, 1003, 1001):
        await engine.request("PUT", f"/agent/service/deregister/{name}-{port}")
    assert await next_of(watch) == ()


async def test_calls_follow_instances_that_come_and_leave_without_a_dropped_one(engine: Consul) -> None:
    name = f"goods-{uuid.uuid4().hex[:8]}"
    servers = {await answering(server): server for server in (grpc.aio.server(), grpc.aio.server())}
    first, second = servers
    channel = BalancedChannel(name, open_channel, grace_s=2)
    who = channel.unary_unary("/t.Test/Who")
    answers: list[str] = []

    async def follow() -> None:
        async for addresses in engine.watch(name):
            channel.use(addresses)

    async def calling() -> None:
        while True:
            answers.append((await who(b"", timeout=5)).decode())

    async def answers_come_from(*expected: str) -> None:
        for _ in range(100):
            before = len(answers)
            await asyncio.sleep(0.05)
            if set(answers[before:]) == set(expected):
                return
        raise AssertionError(f"{expected} do not answer alone")

    await has(engine, name, int(first.rpartition(":")[2]), "passing")
    tasks = [asyncio.create_task(follow())]
    for _ in range(100):  # the first answer names nobody if it was faster than the registration
        if channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            break
        await asyncio.sleep(0.05)
    callers = [asyncio.create_task(calling()) for _ in range(4)]
    await answers_come_from(first)
    await has(engine, name, int(second.rpartition(":")[2]), "passing")
    await answers_come_from(first, second)
    await engine.request("PUT", f"/agent/service/deregister/{name}-{first.rpartition(':')[2]}")
    await answers_come_from(second)
    await servers[first].stop(1)
    await answers_come_from(second)
    for caller in callers:
        assert not caller.done(), "a call was dropped"
    for task in (*callers, *tasks):
        task.cancel()
    await asyncio.gather(*callers, *tasks, return_exceptions=True)
    await channel.close()
    await servers[second].stop(0)
    await engine.request("PUT", f"/agent/service/deregister/{name}-{second.rpartition(':')[2]}")


async def answering(server: grpc.aio.Server) -> str:
    """Start a server that answers its own address."""
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"

    async def who(_request: bytes, _context: object) -> bytes:
        await asyncio.sleep(0.002)
        return address.encode()

    handlers: Any = {"Who": grpc.unary_unary_rpc_method_handler(who)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Test", handlers),))
    await server.start()
    return address


async def test_a_holder_that_was_paused_can_do_no_harm(
    engine: Consul, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consul, "MIN_TTL_S", 1.0)
    monkeypatch.setattr(consul, "LOCK_DELAY", "0s")
    name, key = uuid.uuid4().hex, f"order-service/locks/{uuid.uuid4().hex}/done"
    paused = await Consul(URL, lambda: 0.0).lock(name, 1)  # whose clock stands still
    assert paused is not None
    assert paused._renewing is not None
    paused._renewing.cancel()
    for _ in range(60):
        other = await engine.lock(name, 1)
        if other is not None:
            break
        await asyncio.sleep(0.1)
    assert other is not None
    assert paused.held(), "it does not know"
    assert not await paused.put(key, b"late")
    assert await engine.get(key) is None
    assert await other.put(key, b"in time")
    assert other.fence > paused.fence
    await other.release()


async def test_a_lease_ends_for_its_holder_before_consul_gives_it_to_another(engine: Consul) -> None:
    now_s = [100.0]
    lease = await Consul(URL, lambda: now_s[0]).lock(uuid.uuid4().hex, 10)
    assert lease is not None
    now_s[0] += 9.9
    assert lease.held()
    now_s[0] += 0.2
    assert not lease.held()
    await lease.release()


async def test_two_instances_take_turns_and_the_next_follows_at_once(engine: Consul) -> None:
    job = uuid.uuid4().hex
    one, other = JobLocks(engine, "shop"), JobLocks(engine, "shop")
    assert await one.acquire(job)
    assert await one.acquire(job)
    assert not await other.acquire(job)
    await one.close()
    assert await other.acquire(job)
    await other.close()


async def test_a_consul_that_was_away_does_not_keep_a_job_from_who_does_it(
    engine: Consul, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, job = [100.0], uuid.uuid4().hex
    cut_off = Consul(URL, lambda: now_s[0])
    turns = JobLocks(cut_off, "shop", lambda: now_s[0])
    assert await turns.acquire(job)
    with monkeypatch.context() as cut:
        cut.setattr(cut_off, "request", refused)
        now_s[0] += consul.MIN_TTL_S
        assert await turns.acquire(job), "it stops no job"
    now_s[0] += RETRY_S
    assert await turns.acquire(job), "its own session of before is nobody else's"
    assert not await JobLocks(engine, "shop").acquire(job)
    await turns.close()
    await cut_off.aclose()


async def refused(*_: Any, **__: Any) -> Any:
    raise RegistryUnavailable("nobody answers")


async def test_what_another_process_left_under_our_address_is_replaced(engine: Consul) -> None:
    earlier = Instance(SERVICE, "127.0.0.1", 59_998, ("canary",), HEALTH)
    await engine.register(earlier)
    presence = Registration(engine)
    presence.start("127.0.0.1", 59_998, tls=False)
    try:
        for _ in range(100):
            service: Any = (await engine.request("GET", f"/agent/service/{earlier.id}")).json()
            if service["Tags"] == list(TAGS):
                break
            await asyncio.sleep(0.05)
        assert service["Tags"] == list(TAGS)
    finally:
        await presence.stop()


async def test_a_consul_that_is_away_stops_no_job() -> None:
    nobody = Consul("consul://127.0.0.1:9")
    with pytest.raises(RegistryUnavailable):
        await nobody.lock("job", 10)
    assert await JobLocks(nobody, "shop").acquire("job")
    await nobody.aclose()


async def test_roots_are_no_settings(engine: Consul) -> None:
    key = f"{ROOTS}test_{uuid.uuid4().hex}/2026-11-18"
    lease = await engine.lock(uuid.uuid4().hex, 10)
    assert lease is not None
    assert await lease.put(key, b"{}")
    await lease.release()
    try:
        documents = await asyncio.to_thread(ConsulSource(URL).documents, "test")
        assert "2026-11-18" not in str(documents)
    finally:
        await engine.request("DELETE", f"/kv/{key}")


async def test_a_consul_that_is_away_is_told_later() -> None:
    away = Consul("consul://127.0.0.1:9")
    witness = RegistryWitness(away, "shop")
    for asked in (witness.get("2026-11-18"), witness.all()):
        with pytest.raises(WitnessUnavailable):
            await asked
    await away.aclose()


async def test_a_running_service_tells_each_root_under_its_job_s_lock(engine: Consul, tmp_path: Path) -> None:
    name = f"orders_{uuid.uuid4().hex}"
    neighbour = JobLocks(engine, f"another_{name}.db")
    assert await neighbour.acquire(DAILY_ROOT)
    try:
        async with Shop(tmp_path, REGISTRY__URL=URL, DB__URL=f"sqlite:///{tmp_path}/{name}.db") as shop:
            beside = RegistryWitness(engine, f"{name}.db")
            told = await shop.until(beside.all, TOLD_S)
            root = await shop.core.store.roots.last()
            assert told == {root.sealed.day: root.document()}
    finally:
        await neighbour.close()
        await engine.request("DELETE", f"/kv/{ROOTS}{name}.db", params={"recurse": "true"})
