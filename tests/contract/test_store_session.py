"""What every connection to a server sets, whatever the server's own defaults are."""

from __future__ import annotations

import pytest

from shop_order.repository.dao.engine.mysql_session import MysqlAddress, MysqlSession
from tests.contract.engine import Engine


@pytest.mark.parametrize(("writes", "isolation"), [(True, "READ-COMMITTED"), (False, "REPEATABLE-READ")])
async def test_a_connection_sets_what_the_statements_rest_on(
    server: Engine, writes: bool, isolation: str
) -> None:
    session = await MysqlSession.open(MysqlAddress.of(server.url), writes=writes)
    shown = {str(name): str(value) for name, value in await session.all("SHOW SESSION VARIABLES")}
    await session.close()
    assert shown.get("transaction_isolation", shown.get("tx_isolation")) == isolation  # MariaDB's older name
    assert {"ANSI_QUOTES", "STRICT_ALL_TABLES"} <= set(shown["sql_mode"].split(","))
    assert (shown["time_zone"], shown["character_set_client"]) == ("+00:00", "utf8mb4")
