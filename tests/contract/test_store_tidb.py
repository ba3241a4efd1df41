"""What is so on TiDB alone: where rows are kept, and what its checks need."""

from __future__ import annotations

import pymysql
import pytest

from deploy.stack.tidb import CHECKS
from shop_order.repository.dao.engine.mysql_session import MysqlAddress
from shop_order.repository.schema import migrate
from tests.contract.engine import Engine, added

BY_OWNER = {"cart_version", "idempotency_key", "shop_time", "config_history", "job_lease"}
ROW_A_DAY = {"history_root", "reconciliation"}


async def test_rows_are_spread_unless_their_key_spreads_them_or_they_are_few(tidb: Engine) -> None:
    await added(tidb.store)
    found = tidb.sql(
        "SELECT table_name, tidb_row_id_sharding_info FROM information_schema.tables"
        " WHERE table_schema = database() AND table_name <> 'alembic_version'"
    )
    spread = {str(name) for name, how in found if str(how).startswith("SHARD_BITS=4")}
    assert {str(name) for name, _ in found} - spread == BY_OWNER | ROW_A_DAY


async def test_a_check_refuses_what_it_says(tidb: Engine) -> None:
    await added(tidb.store)
    with pytest.raises(pymysql.err.MySQLError, match="ck_order_status"):
        tidb.sql("UPDATE order_info SET status = 9")


async def test_a_server_that_forgets_checks_is_not_migrated(tidb: Engine) -> None:
    at = MysqlAddress.of(tidb.url)
    with pymysql.connect(host=at.host, port=at.port, user="root") as root, root.cursor() as cursor:
        cursor.execute(CHECKS.replace("ON", "OFF"))
        try:
            with pytest.raises(OSError, match=f"{CHECKS} first"):
                migrate(tidb.url)
        finally:
            cursor.execute(CHECKS)
