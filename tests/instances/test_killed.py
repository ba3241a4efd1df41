"""Instances are killed, stopped and paused while buyers buy: what was answered is there, once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import grpc.aio
import pytest

from shop_order.api.client import Retry
from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import InventoryStub
from tests.faults.buyers import Buyer, Notebook
from tests.faults.processes import SANDBOX, SERVICE, Processes
from tests.faults.test_kill import LEASE_S, all_is_well
from tests.instances.town import INSTANCES, NEEDED, RELAY, TEA, Engines, SharedTown, offered

BUYERS = 8
JOB_LEASE_S = 10  # of a killed holder


def some_random() -> Random:
    """Another seed tells another story."""
    seed = os.environ.get("FAULT_SEED", "20261123")
    print(f"seed {seed}")
    return Random(int(seed))


async def kill_an_instance(town: SharedTown, random: Random) -> None:
    """One of three; the others serve on."""
    await kill(town, random.choice(INSTANCES), random)


async def kill_who_scans(town: SharedTown, random: Random) -> None:
    """The instance that looks for orders that ran out; another takes over."""
    await kill(town, town.holder("timeout") or SERVICE, random)


async def kill_two_instances(town: SharedTown, random: Random) -> None:
    """For a moment one serves all."""
    killed = random.sample(INSTANCES, 2)
    town.kill(*killed)
    await asyncio.sleep(random.uniform(0.2, 1.0))
    await town.start(*killed)


async def kill(town: SharedTown, name: str, random: Random) -> None:
    """And start it again."""
    town.kill(name)
    await asyncio.sleep(random.uniform(0.2, 1.0))
    await town.start(name)


async def stop_an_instance(town: SharedTown, random: Random) -> None:
    """One of three, orderly."""
    name = random.choice(INSTANCES)
    await town.stop(name)
    await town.start(name)


async def pause_an_instance(town: SharedTown, random: Random) -> None:
    """So long that its jobs become another's; then it goes on in the middle of what it did."""
    paused = town.process(random.choice(INSTANCES))
    paused.send_signal(signal.SIGSTOP)
    await asyncio.sleep(JOB_LEASE_S + 2)
    paused.send_signal(signal.SIGCONT)
    await asyncio.sleep(1)


async def kill_the_relay(town: SharedTown, random: Random) -> None:
    """Events wait until it is back."""
    town.kill(RELAY)
    await town.start(RELAY)


async def busy_run(town: SharedTown, random: Random, blows: Sequence[Any]) -> Notebook:
    """Buyers shop while the blows fall; ends when every story was finished."""
    notebook, closed = Notebook(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(BUYERS):
            view = cast(Processes, town.view(INSTANCES[number % len(INSTANCES)]))
            buyer = Buyer(view, 1000 + number, notebook, random.randrange(2**32))
            group.create_task(buyer.shop(closed))
        for blow in blows:
            await asyncio.sleep(random.uniform(0.3, 1.5))
            await blow(town, random)
        await asyncio.sleep(0.5)
        closed.set()
    print(
        f"{len(notebook.answers)} orders, unanswered calls {dict(notebook.unanswered)},"
        f" {notebook.replayed} of them were done all the same"
    )
    assert notebook.unanswered, "no call was on its way at any blow: nothing was tried"
    return notebook


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.engine(*NEEDED)
@pytest.mark.parametrize("engines", offered(), ids=lambda engines: engines.db)
async def test_three_instances_on_one_database_lose_no_answered_order(
    engines: Engines, tmp_path: Path
) -> None:
    random = some_random()
    blows = [
        kill_an_instance,
        stop_an_instance,
        kill_who_scans,
        pause_an_instance,
        kill_two_instances,
        stop_an_instance,
    ]
    async with SharedTown(tmp_path, engines, ORDER__LEASE_S=str(LEASE_S)) as town:
        await town.start(SANDBOX, *INSTANCES)
        notebook = await busy_run(town, random, blows)
        await all_is_well(town, notebook)
        served = {
            name for name in INSTANCES if any(one["msg"] == "grpc request" for one in town.logged(name))
        }
        assert served == {*INSTANCES}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.engine(*NEEDED, "rocketmq")
@pytest.mark.parametrize("engines", offered(brokered=True)[:1], ids=lambda _: "shared")
async def test_with_a_broker_the_relay_goes_on_where_it_was_killed(engines: Engines, tmp_path: Path) -> None:
    random = some_random()
    blows = [kill_who_scans, kill_the_relay, kill_two_instances, stop_an_instance]
    async with SharedTown(tmp_path, engines, ORDER__LEASE_S=str(LEASE_S)) as town:
        await town.start(SANDBOX, *INSTANCES, RELAY)
        notebook = await busy_run(town, random, blows)
        await all_is_well(town, notebook)


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.engine(*NEEDED)
async def test_orders_run_out_once_though_who_scans_is_killed(town: SharedTown) -> None:
    for name in INSTANCES:
        town.set(name, ORDER__PAY_TIMEOUT_S="4")
    await town.start(SANDBOX, *INSTANCES)
    placed = await asyncio.gather(*(buy(town, user) for user in range(400, 440)))
    await town.until(lambda: cancelled(town), 30)
    scans = town.holder("timeout")
    town.kill(scans)
    others = [name for name in INSTANCES if name != scans]
    placed += await asyncio.gather(*(buy(town, user, others[user % 2]) for user in range(440, 460)))
    await town.until(lambda: len(cancelled(town)) == len(placed), 3 * JOB_LEASE_S + 10)
    await town.until(lambda: town.rows("SELECT count(*) FROM outbox") == [(0,)], 3 * JOB_LEASE_S)
    assert town.holder("timeout") in others
    assert cancelled(town) == dict.fromkeys(placed, 1)
    events = Counter(order_sn for (order_sn,) in town.rows("SELECT order_sn FROM order_event"))
    assert events == dict.fromkeys(placed, 2)  # placed, and cancelled
    async with grpc.aio.insecure_channel(town.neighbours_address) as channel:
        (tea,) = (await InventoryStub(channel).GetStock(pb.GoodsIds(ids=[TEA.items[0].product_id]))).stocks
    assert (tea.reserved, tea.sold) == (0, 0)
    code, said = await town.says("doctor")
    assert code == 0, said


async def buy(town: SharedTown, user: int, name: str = SERVICE) -> str:
    """One order."""
    async with town.client(user, name, retry=Retry(attempts=20, most_s=0.5)) as orders:
        return (await orders.create_order(TEA, idempotency_key=str(user))).order_sn


def cancelled(town: SharedTown) -> dict[str, int]:
    """How often each order was cancelled."""
    sql = "SELECT order_sn, count(*) FROM order_event WHERE type = 'order.cancelled' GROUP BY order_sn"
    return {str(sn): int(str(times)) for sn, times in town.rows(sql)}
