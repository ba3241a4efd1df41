"""Events by way of RocketMQ: relay, broker and consumers die and come back, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest

from deploy.stack import rocketmq
from deploy.stack.__main__ import ROOT as STACK
from shop_order.pkg.message import GROUPS, TIMEOUTS, TOPICS
from shop_order.pkg.message.rocketmq import admin, parse
from shop_order.pkg.message.rocketmq.admin import Admin
from shop_order.pkg.message.rocketmq.consumer import THREADS
from shop_sandbox.server import Sandbox
from tests.faults.engines.own import Own, own_rocketmq
from tests.plugins.engines import available
from tests.recording.recorder import child_path
from tests.shop import Shop, free_ports

PENDING, CANCELLED = 1, 5
PLENTIFUL = 10_001  # the first of those that are seeded beside the catalogue
BACK_S = 20.0  # consumers must be back so long after the broker is
BROKERS = available("rocketmq")


class Town(Shop):
    """The Shop with a broker: the relay is a process of its own."""

    def __init__(self, folder: Path, url: str, **environ: str) -> None:
        self.broker = f"{url}{'&' if '?' in url else '?'}prefix=t{uuid.uuid4().hex[:8]}"
        super().__init__(folder, MESSAGE__URL=self.broker, **environ)
        self.relay: subprocess.Popen[bytes] | None = None

    def _sandbox(self, **more: Any) -> Sandbox:
        return super()._sandbox(seed_goods=1, **more)

    async def __aenter__(self) -> Self:
        address = parse(self.broker)
        await Admin(address.namesrv).make(address, TOPICS, GROUPS)
        await super().__aenter__()
        self.start_relay()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self.relay is not None:
            self.relay.terminate()
            code = await asyncio.to_thread(self.relay.wait, 20)
            # It may have been told before it listened.
            assert code in (0, -signal.SIGTERM), self.said()
        await super().__aexit__(*error)

    def spawn_relay(self) -> subprocess.Popen[bytes]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SHOP_")}
        env = {**kept, **self.environ, "PYTHONPATH": child_path()}
        with (self.folder / "relay.out").open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "shop_order.cmd.main", "relay"], env=env, stdout=out, stderr=out
            )

    def start_relay(self) -> None:
        self.relay = self.spawn_relay()

    def kill_relay(self) -> None:
        assert self.relay is not None
        self.relay.send_signal(signal.SIGKILL)
        self.relay.wait()
        self.relay = None

    def said(self) -> str:
        return (self.folder / "relay.out").read_text()[-3000:]

    # ---- what was stored on both sides ----

    def events(self, where: str = "1") -> set[str]:
        return {
            str(id) for (id,) in self._rows("order/order.db", f"SELECT id FROM order_event WHERE {where}")
        }

    def arrived(self, inbox: str = "inbox") -> set[str]:
        return {id for (id,) in self._rows(f"sandbox/{inbox}.db", "SELECT event_id FROM inbox")}

    def _rows(self, file: str, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / file, timeout=10)) as connection:
            return connection.execute(sql).fetchall()

    async def all_arrived(self, timeout_s: float = 60.0) -> None:
        """Every event reached both groups of the sandbox."""

        async def nothing_left() -> bool:
            stock = self.events("type IN ('order.paid', 'order.cancelled')")
            return self.events() <= self.arrived() and stock <= self.arrived("stock_inbox")

        await self.until(nothing_left, timeout_s)

    async def readiness(self) -> dict[str, Any]:
        answer = await self.http.get("/readyz")
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said


@pytest.fixture(params=BROKERS)
async def town(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    async with Town(tmp_path, request.param) as running:
        yield running


async def test_a_purchase_reaches_the_neighbours_through_the_broker(town: Town) -> None:
    order = await town.paid()
    await town.ship(order["order_sn"])
    await town.all_arrived()
    assert [row["order_sn"] for row in await town.sandbox.inbox.rows("notifications")] == [order["order_sn"]]
    await town.check_doctor()


@pytest.mark.parametrize("url", BROKERS)
async def test_an_unpaid_order_ends_by_its_message_without_any_scan(url: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    environ = {"ORDER__PAY_TIMEOUT_S": "3", "ORDER__SCAN_INTERVAL_S": "600", "MESSAGE__RELAY_PORT": str(port)}
    async with Town(tmp_path, url, **environ) as town:
        order = await town.place()
        assert order["status"] == PENDING

        async def cancelled() -> bool:
            return bool((await town.order(order["order_sn"]))["status"] == CANCELLED)

        await town.until(cancelled, 20)
        await town.all_arrived()
        published = f'shop_order_batch_size_sum{{batch="relay"}} {len(town.events()):.1f}'

        async def counted() -> bool:
            metrics = (await town.http.get(f"http://127.0.0.1:{port}/metrics")).text
            return published in metrics and "shop_order_outbox_lag_seconds 0.0" in metrics

        await town.until(counted)
        await town.check_doctor()


@pytest.mark.parametrize("url", BROKERS)
async def test_orders_that_can_not_be_decided_hold_up_no_other_and_are_counted_as_dead_letters(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "ATTEMPTS", 1)
    (port,) = free_ports(1)
    environ = {"ORDER__PAY_TIMEOUT_S": "5", "ORDER__SCAN_INTERVAL_S": "600", "MESSAGE__RELAY_PORT": str(port)}
    async with Town(tmp_path, url, **environ) as town:
        decide, broken = town.core.timeouts.decide, set[str]()

        async def decided(order_sn: str) -> bool:
            if order_sn in broken:
                raise ValueError("a row that somebody edited by hand")
            return bool(await decide(order_sn))

        monkeypatch.setattr(town.core.timeouts, "decide", decided)
        broken |= {(await town.place())["order_sn"] for _ in range(THREADS)}
        order = await town.place()

        async def cancelled() -> bool:
            return bool((await town.order(order["order_sn"]))["status"] == CANCELLED)

        await town.until(cancelled, 30)
        dead = f'shop_order_dead_letters{{group="{TIMEOUTS.name}"}} {len(broken):.1f}'

        async def counted() -> bool:
            return dead in (await town.http.get(f"http://127.0.0.1:{port}/metrics")).text

        await town.until(counted, 40)


@pytest.mark.parametrize("url", BROKERS)
async def test_a_relay_takes_up_changed_settings_at_a_hup(url: str, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    async with Town(tmp_path, url, CONFIG__URL=f"file:{own}") as town:
        await town.place()
        await town.all_arrived()
        (own / "log.yaml").write_text("log: {level: debug}\n")
        assert town.relay is not None
        town.relay.send_signal(signal.SIGHUP)
        log = tmp_path / "order" / "logs" / "relay.order-service.log"

        async def told() -> bool:
            return '"msg":"reloaded"' in (log.read_text() if log.exists() else town.said())

        await town.until(told)
        assert town.relay.poll() is None
        await town.place()
        await town.all_arrived()


async def test_a_second_relay_is_refused_and_a_killed_one_is_followed(town: Town) -> None:
    await town.place()
    await town.all_arrived()
    second = town.spawn_relay()
    assert await asyncio.to_thread(second.wait, 20) == 2
    assert "another relay is running on this database" in town.said()
    town.kill_relay()
    orders = [await town.place() for _ in range(5)]
    assert not town.events() <= town.arrived()
    town.start_relay()
    await town.all_arrived()
    assert len(orders) == 5
    await town.check_doctor()


@pytest.fixture(params=BROKERS[:1])
def own_broker() -> Iterator[Own]:
    """A broker that only this test has: others need theirs."""
    rocketmq.install(STACK)
    broker = own_rocketmq()
    broker.start()
    yield broker
    broker.end()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_broker_killed_under_load_loses_nothing_and_consumers_come_back(
    own_broker: Own, tmp_path: Path
) -> None:
    async with Town(tmp_path, own_broker.url) as town:
        await live_through_a_kill(town, own_broker)


async def live_through_a_kill(town: Town, broker: Own) -> None:
    closed = asyncio.Event()
    bought: list[str] = []

    async def buyer(user: int) -> None:
        while not closed.is_set():
            order = await (town.paid if len(bought) % 3 else town.place)(user, goods=PLENTIFUL)
            bought.append(order["order_sn"])
            await asyncio.sleep(0.05)

    buyers = [asyncio.create_task(buyer(user)) for user in (7, 8, 9, 10)]
    try:
        await town.until(lambda: _true(len(town.arrived()) > 20), 30)
        before = town.arrived()
        await asyncio.to_thread(broker.kill)
        sold = len(bought)
        await town.until(lambda: _missing(town), 30)
        assert (await town.readiness())["status"] == "degraded"
        await asyncio.to_thread(broker.start)
        ready = time.monotonic()
        assert len(bought) > sold, "buyers went on while the broker was away"
        later = town.events() - town.arrived()
        assert later
        await town.until(lambda: _true(bool(later & town.arrived())), BACK_S)
        print(f"consumed again {time.monotonic() - ready:.1f} s after the broker was ready")
        assert before < town.arrived()
        await town.until(lambda: _there(town), BACK_S)
    finally:
        closed.set()
        await asyncio.gather(*buyers)
    await town.all_arrived(90)
    print(f"{len(bought)} orders, {len(town.events())} events")
    await town.check_doctor()
    assert not town._rows("sandbox/inbox.db", "SELECT 1 FROM dead_letter")


async def _true(value: bool) -> bool:
    return value


async def _missing(town: Town) -> bool:
    return "message" in (await town.readiness())["missing"]


async def _there(town: Town) -> bool:
    return "message" not in (await town.readiness())["missing"]
