"""`kill -9` at each step of money, with MySQL, RocketMQ, and a relay of its own."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from shop_order.pkg.message import GROUPS, TOPICS
from shop_order.pkg.message.rocketmq import parse
from shop_order.pkg.message.rocketmq.admin import Admin
from tests.contract.servers import connected, make
from tests.faults.deaths import Mortals, play
from tests.faults.engines.town import BACK_S, RELAY
from tests.faults.points import SHARED, Case, name_of
from tests.faults.processes import SANDBOX, SERVICE
from tests.faults.test_deaths import SETTINGS
from tests.plugins.engines import available
from tests.shop import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
BROKERS = available("rocketmq")
SERVERS = available("mysql")[-1:]  # one is enough: MySQL, which `make stack` names last


class Town(Mortals):
    """Service, relay and neighbours; they, the database and the broker are all that lasts."""

    start_s = BACK_S

    def __init__(self, folder: Path, server: str, broker: str) -> None:
        name = f"shop_deaths_{os.getpid()}"
        self.server = server
        self.database = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        self.broker = f"{broker}{'&' if '?' in broker else '?'}prefix=t{uuid.uuid4().hex[:8]}"
        (port,) = free_ports(1)
        more = {"DB__URL": self.database, "MESSAGE__URL": self.broker, "MESSAGE__RELAY_PORT": str(port)}
        super().__init__(folder, **SETTINGS, **more)
        self._modules[RELAY] = self._modules[SERVICE]
        self._words[RELAY] = ("relay",)
        self._environ[RELAY] = self._environ[SERVICE]
        self._ready[RELAY] = f"http://127.0.0.1:{port}/metrics"
        self._environ[SANDBOX]["SHOP_SANDBOX_MESSAGE"] = self.broker

    async def open(self) -> None:
        """Make the database and the topics, and start everything."""
        make(self.server, self.database)
        address = parse(self.broker)
        await Admin(address.namesrv).make(address, TOPICS, GROUPS)
        await self.start(SANDBOX, SERVICE, RELAY)

    def end(self) -> None:
        """Leave nothing running, and no database."""
        super().end()
        with connected(self.server) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {urlsplit(self.database).path.strip('/')}")


@pytest.fixture(scope="module", params=BROKERS)
def broker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=SERVERS)
def town(
    request: pytest.FixtureRequest, broker: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    """One for each server, which outlives the tests but for its deaths."""
    running = Town(tmp_path_factory.mktemp("town"), request.param, broker)
    try:
        asyncio.run(running.open())
        yield running
    finally:
        running.end()


@pytest.mark.long(one_of=40)  # each takes a minute or two
@pytest.mark.parametrize("case", SHARED, ids=name_of)
async def test_money_survives_a_death_at_each_step(town: Town, case: Case) -> None:
    await play(town, *case)
