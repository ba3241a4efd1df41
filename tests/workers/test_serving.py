"""One instance of two workers: one log, one registration, one answer to /metrics, and ports of its own."""

from __future__ import annotations

import asyncio
import os
import signal

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shop_order.api.client import OrderApiError, Retry
from shop_order.domain.valueobject.actor import Role
from tests.e2e.started import run
from tests.faults.processes import SANDBOX, SERVICE
from tests.plugins.engines import available
from tests.shop import ADDRESS
from tests.workers.town import SECOND, TEA, SharedTown, alive

pytestmark = pytest.mark.engine("mysql", "redis", "mongodb")
ONCE = Retry(attempts=1)
LISTS = ("shop_order_request_seconds_count", "/order.OrderService/ListOrders")


async def test_both_workers_serve_and_their_lines_make_one_log(town: SharedTown) -> None:
    await town.start(SANDBOX, SERVICE)
    await every_worker_answers(town)
    await town.stop(SERVICE)
    lines = town.logged()
    assert {line["worker"] for line in lines if line["msg"] == "stopped"} == {1, 2}
    assert lines[-1]["msg"] == "parent_stopped"
    assert town.said(SERVICE).count('"started"') == 2  # standard output has the same lines


async def test_a_second_instance_never_gets_the_ports_not_even_while_no_worker_listens(
    town: SharedTown,
) -> None:
    await town.start(SERVICE)
    http, grpc_ = (
        town._environ[SERVICE][f"SHOP_ORDER_SERVER__{port}"] for port in ("HTTP_PORT", "GRPC_PORT")
    )
    assert f"can't listen on 127.0.0.1:{http}" in await refusal(town)
    for workers in ("1", "2"):
        said = await refusal(town, SERVER__WORKERS=workers, SERVER__HTTP_PORT="0")
        assert f"can't listen on 127.0.0.1:{grpc_}" in said
    parent = town.process(SERVICE)
    parent.send_signal(signal.SIGSTOP)
    try:
        for number in town.workers():
            town.kill_worker(number)
        await town.until(lambda: not town.workers())
        assert f"127.0.0.1:{grpc_}" in await refusal(town, SERVER__HTTP_PORT="0")
    finally:
        parent.send_signal(signal.SIGCONT)
    await town.whole()
    async with town.client(7) as orders:
        assert list((await orders.list_orders()).orders) == []


async def test_a_start_that_its_workers_refuse_ends_with_one_line(town: SharedTown) -> None:
    town.rows("DROP TABLE alembic_version")
    line = "shop-order: the order database has no tables yet; run `shop-order migrate`\n"
    assert await refusal(town) == line


async def test_metrics_are_of_all_workers_and_no_sum_goes_back_when_one_dies(town: SharedTown) -> None:
    await town.start(SANDBOX, SERVICE)
    asked = await every_worker_answers(town)
    for _ in range(4):
        assert await counted(town, *LISTS) == asked
    assert await counted(town, "shop_order_cache_up") == 1
    assert await counted(town, "shop_order_worker_ends_total", "died") == 0
    await another_follows(town, 1)
    for name in ("parent", "worker-1", "worker-2"):
        assert await counted(town, "process_resident_memory_bytes", name) > 0
    for _ in range(4):
        assert await counted(town, *LISTS) == asked
    asked += await every_worker_answers(town)
    assert await counted(town, *LISTS) == asked
    await another_follows(town, 2, signal.SIGTERM)  # it may finish what it has begun
    ends = {how: await counted(town, "shop_order_worker_ends_total", how) for how in ("died", "left")}
    assert ends == {"died": 1, "left": 1}
    assert await counted(town, "shop_order_cache_up") == 1


async def test_a_dead_parent_takes_its_workers_along_and_another_can_start(town: SharedTown) -> None:
    await town.start(SANDBOX, SERVICE)
    workers = town.workers()
    hangs = workers[1]
    os.kill(hangs, signal.SIGSTOP)  # this one can't hear that its parent is gone
    town.kill(SERVICE)
    await town.until(lambda: not any(map(alive, workers.values())), 12)
    await town.start(SERVICE)
    async with town.client(7) as orders:
        assert (await orders.create_order(TEA)).order_sn


async def test_a_reload_reaches_every_worker_also_those_that_start_later(town: SharedTown) -> None:
    folder = town.folder / "configs"
    folder.mkdir()
    town._environ[SERVICE]["SHOP_ORDER_CONFIG__URL"] = f"file:{folder}"
    town.without("SHOP_ORDER_LIMIT__UNPAID_ORDERS")
    (folder / "limit.yaml").write_text("limit: {unpaid_orders: 3}\n")
    await town.start(SANDBOX, SERVICE)
    rules = "{freight_fen: 500, province_freight_fen: {西藏: 2000}}"
    (folder / "limit.yaml").write_text(f"limit: {{unpaid_orders: 1}}\npricing: {rules}\n")
    town.process(SERVICE).send_signal(signal.SIGHUP)
    await town.until(lambda: any(line["msg"] == "reloaded" for line in town.logged()))
    assert [await bought_until_refused(town, user) for user in range(100, 112)] == [1] * 12
    for number in (1, 2):
        await another_follows(town, number)
    assert [await bought_until_refused(town, user) for user in range(200, 212)] == [1] * 12
    freight_fen = set()
    for user in range(300, 312):  # a connection each: it leads to one of the workers
        async with town.client(user) as orders:
            freight_fen.add((await orders.create_order(TEA)).freight_amount_fen)
    assert freight_fen == {2500}
    code, history = await town.says("config", "history")
    assert (code, len(history.splitlines())) == (0, 2), history  # the start and the reload, by nobody twice


async def test_a_stop_under_load_loses_no_order_that_was_answered(town: SharedTown) -> None:
    await town.start(SANDBOX, SERVICE)
    answered: list[str] = []
    refusals: set[grpc.StatusCode] = set()

    async def buy_until_refused(user: int) -> None:
        async with town.client(user, retry=ONCE) as orders:
            while True:
                try:
                    answered.append((await orders.create_order(TEA)).order_sn)
                except OrderApiError as refused:
                    refusals.add(refused.code)
                    return

    async def buy_over_rest_until_refused(user: int) -> None:
        headers = {"Authorization": f"Bearer {town.token(user)}"}
        body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}
        async with httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False, timeout=20) as http:
            while True:
                try:
                    answer = await http.post("/api/v1/orders", json=body)
                except httpx.TransportError:  # not accepted
                    return
                if answer.status_code != 200:
                    assert answer.status_code == 503
                    return
                answered.append(answer.json()["data"]["order_sn"])

    callers = [asyncio.create_task(buy_until_refused(100 + user)) for user in range(12)]
    callers += [asyncio.create_task(buy_over_rest_until_refused(200 + user)) for user in range(4)]
    await town.until(lambda: len(answered) > 60)
    await town.stop(SERVICE)
    await asyncio.gather(*callers)
    assert set(answered) <= {str(sn) for (sn,) in town.rows("SELECT order_sn FROM order_info")}
    assert refusals == {grpc.StatusCode.UNAVAILABLE}
    # The worker on duty stopped last, and published what all of them had committed.
    assert town.rows("SELECT count(*) FROM outbox") == [(0,)]
    assert "Traceback" not in town.said(SERVICE)


async def test_while_the_balancer_has_not_noticed_a_stop_all_are_served_and_told_not_to_come(
    town: SharedTown,
) -> None:
    town._environ[SERVICE]["SHOP_ORDER_SERVER__STOP_WAIT_S"] = "5"
    await town.start(SANDBOX, SERVICE)
    for pid in town.workers().values():
        os.kill(pid, signal.SIGTERM)  # as a service manager does it
    stopping = asyncio.create_task(town.stop(SERVICE))
    async with httpx.AsyncClient(base_url=town.url, trust_env=False) as http:
        await town.until(lambda: httpx.get(f"{town.url}/readyz", trust_env=False).status_code == 503)
        assert (await http.get("/readyz")).json()["status"] == "stopping"
    for user in range(100, 106):
        async with town.client(user, retry=ONCE) as orders:
            assert (await orders.create_order(TEA)).order_sn
    assert not stopping.done()
    await stopping


async def test_a_stop_in_the_middle_of_a_start_leaves_nobody_behind(town: SharedTown) -> None:
    town._spawn(SERVICE)
    await town.until(lambda: len(started(town)) == 2)
    await town.stop(SERVICE)
    assert not any(map(alive, started(town)))


async def test_a_clock_that_is_moved_in_one_process_moves_in_all(town: SharedTown) -> None:
    await town.start(SANDBOX, SERVICE, SECOND)
    admin = {"Authorization": f"Bearer {town.token(1, role=Role.ADMIN)}"}
    async with httpx.AsyncClient(base_url=town.url, headers=admin, trust_env=False) as http:
        moved = await http.post("/api/v1/admin/clock", json={"advance_s": 3 * 86_400})
    assert moved.status_code == 200, moved.text
    today = moved.json()["data"]["now"][2:10].replace("-", "")
    await asyncio.sleep(2)
    for address in (town.grpc_address, town.second_address):
        for user in range(300, 306):
            async with town.client(user, address=address) as orders:
                assert (await orders.create_order(TEA)).order_sn[:6] == today


@pytest.mark.parametrize("registry", available("consul")[:1])
async def test_an_instance_is_registered_once_and_leaves_when_it_stops(
    town: SharedTown, registry: str
) -> None:
    town._environ[SERVICE]["SHOP_ORDER_REGISTRY__URL"] = registry
    port = int(town.grpc_address.rpartition(":")[2])
    services = f"{registry.replace('consul', 'http')}/v1/agent/services"

    async def ours() -> list[str]:
        async with httpx.AsyncClient(trust_env=False) as http:
            found = (await http.get(services)).json()
        return [id for id, service in found.items() if service["Port"] == port]

    await town.start(SERVICE)
    await town.until(lambda: any(line["msg"] == "registered" for line in town.logged()))
    assert await ours() == [f"order-service-127.0.0.1-{port}"]
    await another_follows(town, 1)
    assert await ours() == [f"order-service-127.0.0.1-{port}"]
    assert [line["msg"] for line in town.logged()].count("registered") == 1
    await town.stop(SERVICE)
    assert await ours() == []


# ---- asking ----


async def every_worker_answers(town: SharedTown) -> int:
    """Call from new connections until both workers have answered; how many calls that took."""
    before, calls = len(town.logged()), 0
    while {line["worker"] for line in town.logged()[before:] if line["msg"] == "grpc request"} != {1, 2}:
        assert calls < 200, town.logged()[-5:]
        async with town.client(7) as orders:
            await orders.list_orders()
        calls += 1
        await asyncio.sleep(0.05)
    return calls


async def another_follows(town: SharedTown, number: int, by: signal.Signals = signal.SIGKILL) -> None:
    """End a worker, and wait until another serves in its place."""
    dead = town.workers()[number]
    os.kill(dead, by)
    await town.until(lambda: not alive(dead) and len(town.workers()) == 2)


def started(town: SharedTown) -> list[int]:
    """Pids of the workers that were ever started."""
    return [int(str(line["pid"])) for line in town.logged() if line["msg"] == "worker_started"]


async def counted(town: SharedTown, name: str, label: str = "") -> float:
    """The sum of a metric, of all its series or of those with this label."""
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"{town.url}/metrics")).text
    found = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert "pid" not in sample.labels
            if sample.name == name and (not label or label in sample.labels.values()):
                found += sample.value
    return found


async def refusal(town: SharedTown, **environ: str) -> str:
    """What another `serve` with the same settings says when it is refused."""
    more = {f"SHOP_ORDER_{name}": value for name, value in environ.items()}
    log = {"SHOP_ORDER_LOG__FILENAME": str(town.folder / "refused.json"), "SHOP_ORDER_LOG__STDOUT": "false"}
    ran = await run(town.folder, "shop-order", "serve", environ={**town._environ[SERVICE], **log, **more})
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1, ran.err
    return ran.err


async def bought_until_refused(town: SharedTown, user: int) -> int:
    """How many unpaid orders a user may have."""
    async with town.client(user) as orders:
        for number in range(10):
            try:
                await orders.create_order(TEA)
            except OrderApiError as refused:
                assert refused.reason == "TOO_MANY_UNPAID"
                return number
    raise AssertionError("no limit")
