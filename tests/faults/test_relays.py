"""Two relays on one shared order database: one publishes, and when it dies the other goes on."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.contract.servers import connected, make
from tests.faults.test_broker_gone import BROKERS, Town
from tests.plugins.engines import available

LEASE_S = 10.0  # of the job, after its holder died
SERVERS = available("mysql")


class SharedTown(Town):
    """The order database is on a server."""

    def __init__(self, folder: Path, broker: str, server: str) -> None:
        self.database = urlunsplit(urlsplit(server)._replace(path=f"/shop_relays_{os.getpid()}"))
        make(server, self.database)
        super().__init__(folder, broker, DB__URL=self.database)

    def events(self, where: str = "1") -> set[str]:
        return {str(id) for (id,) in self._found(f"SELECT id FROM order_event WHERE {where}")}

    async def __aexit__(self, *error: object) -> None:
        try:
            await super().__aexit__(*error)
        finally:
            self._found(f"DROP DATABASE {urlsplit(self.database).path.strip('/')}")

    def holder(self) -> str:
        """Which process publishes, as its lease says."""
        return str(self._found("SELECT holder FROM job_lease WHERE name = 'relay'")[0][0])

    def _found(self, sql: str) -> list[tuple[object, ...]]:
        with connected(self.database) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("broker", BROKERS)
async def test_one_of_two_relays_publishes_and_the_other_takes_over(
    broker: str, server: str, tmp_path: Path
) -> None:
    async with SharedTown(tmp_path, broker, server) as town:
        await town.paid()
        await town.all_arrived()
        assert town.relay is not None
        first, second = town.relay, town.spawn_relay()
        try:
            assert f":{first.pid}:" in town.holder()
            town.kill_relay()
            town.relay = second
            order = await town.paid()
            await town.all_arrived(LEASE_S + 20)
            assert f":{second.pid}:" in town.holder()
            await town.ship(order["order_sn"])
            await town.all_arrived()
            await town.check_doctor()
        finally:
            if town.relay is not second:
                second.kill()
