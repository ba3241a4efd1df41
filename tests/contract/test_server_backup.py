"""A dump as the pages say it, made while orders come in, is a whole database somewhere else."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.stack import mariadb
from shop_order.repository.dao.engine.mysql_session import MysqlAddress
from shop_order.repository.dao.store import Store, open_store
from tests.contract.archived import archive_all, clean, completed
from tests.contract.engine import Engine, added
from tests.contract.servers import described
from tests.plugins.engines import available

ROOT = Path(__file__).parents[2]
# A server's own client makes the dump: MariaDB's is there with it, MySQL's is not among what we install.
MARIADB = [url for url in available("mysql") if url in mariadb.URLS]


@pytest.fixture
async def copy(server: Engine) -> AsyncIterator[str]:
    """Another database, empty; its URL."""
    url = f"{server.url}_copy"
    server.sql(f"CREATE DATABASE {MysqlAddress.of(url).database}")
    yield url
    server.sql(f"DROP DATABASE {MysqlAddress.of(url).database}")


@pytest.mark.parametrize("server", MARIADB, indirect=True)
@pytest.mark.parametrize("page", ["docs/operation.md", "docs/operation.zh-CN.md"])
async def test_a_dump_made_while_orders_come_in_is_a_whole_database(
    server: Engine, copy: str, page: str, tmp_path: Path
) -> None:
    kept = [(await completed(server.store, user=n)).order_sn for n in range(3)]
    await archive_all(server.store)
    buying = asyncio.create_task(buy(server.store))
    await pasted(page, "mysqldump", server.url, tmp_path)
    buying.cancel()
    with suppress(asyncio.CancelledError):
        await buying
    assert os.stat(tmp_path / "order-backup.sql").st_mode & 0o777 == 0o600
    await pasted(page, "mysql", copy, tmp_path)
    copied, source = (MysqlAddress.of(url).database for url in (copy, server.url))
    assert described(server, copied) == described(server, source)
    store = open_store(copy, next_id=server.next_id)
    await store.open()
    assert await clean(store)
    assert [(await store.orders.get(order_sn)).order_sn for order_sn in kept] == kept
    await store.close()


async def buy(store: Store) -> None:
    """One order after the other."""
    while True:
        await added(store)


async def pasted(page: str, program: str, url: str, folder: Path) -> None:
    """Run the command of the page on another database. Raises AssertionError unless it ends well."""
    line = rf"^ *((?:\(umask 077; )?{program} -h .*)$"
    found = re.search(line, (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert found
    at = MysqlAddress.of(url)
    command = found[1].replace("HOST", f"{at.host} -P {at.port}").replace("USER", at.user)
    command = command.replace(" -p ", f" -p{at.password} ").replace("shop_order", at.database)
    process = await asyncio.create_subprocess_shell(command, cwd=folder, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
