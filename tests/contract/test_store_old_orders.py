"""Orders of an earlier version: what their events tell is compared, and nobody is alarmed by the rest."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from shop_order.domain.entity.order import Order
from shop_order.repository.schema import migrate
from tests.contract.archived import LATER_MS
from tests.contract.engine import BUYER, DAY_MS, FileEngine
from tests.contract.kinds import ADMIN, SOME, approve, changed, faults, refund, send, succeed

REVISION = "0012"
ROWS = (Path(__file__).parent / "old_orders.sql").read_text("utf-8")


def now() -> int:
    """Later than all of it."""
    return LATER_MS + 40 * DAY_MS


@pytest.fixture
async def old(tmp_path: Path) -> FileEngine:
    """The orders of an earlier version, migrated."""
    url = f"sqlite:///{tmp_path / 'order.db'}"
    migrate(url, REVISION)
    with closing(sqlite3.connect(tmp_path / "order.db")) as connection:
        connection.executescript(ROWS)
    migrate(url)
    engine = FileEngine(url, iter(range(10**9, 10**10)).__next__)
    await engine.open()
    return engine


async def orders(old: FileEngine, where: str) -> list[Order]:
    """Those with such a row."""
    found = old.sql(f"SELECT order_sn FROM order_info WHERE {where}")
    return [await old.store.orders.get(str(sn)) for (sn,) in found]


async def test_they_are_clean(old: FileEngine) -> None:
    assert old.count("order_info") + old.count("order_info_history") == 14
    assert old.count("order_info_history") == 4
    assert await faults(old.store, now) == ({}, {})
    await old.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payment SET trade_no = 'T1' WHERE state = 'paid' AND payment_sn IN"
        " (SELECT payment_sn FROM order_info)",
        "UPDATE payment SET payment_type = 2",
        "UPDATE payment SET state = 'closed', open_order_sn = NULL, ask_ms = NULL WHERE state = 'pending'",
        "UPDATE refund SET state = 'succeeded' WHERE state = 'failed'",
        "UPDATE refund SET try_ms = NULL WHERE state = 'approved'",
        "UPDATE order_info SET logistics_no = 'SF2' WHERE status = 3",
        "UPDATE order_info SET due_ms = NULL WHERE status = 3",
        "UPDATE order_info SET shipped_ms = 1 WHERE status = 3",
        "UPDATE order_info SET pay_type = 'wechat' WHERE status = 2",
        "UPDATE order_info SET cancel_code = 'ADMIN' WHERE status = 5",
        "UPDATE order_info_history SET completed_ms = 1 WHERE status = 4",
        "DELETE FROM payment_history",
    ],
)
async def test_what_their_events_tell_is_compared(old: FileEngine, statement: str) -> None:
    old.sql(statement)
    for found in await faults(old.store, now):
        assert found
    await old.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE order_info SET signer_name = '张三', note = '?', return_url = 'https://shop.example/'",
        "UPDATE payment SET trade_type = 'wap', payment_url = '?', paid_ms = paid_ms + 1 WHERE paid_ms > 0",
        "UPDATE order_info SET due_ms = due_ms + 1 WHERE status = 3",
    ],
)
async def test_what_they_do_not_tell_is_not(old: FileEngine, statement: str) -> None:
    old.sql(statement)
    assert await faults(old.store, now) == ({}, {})
    await old.close()


async def test_they_live_on(old: FileEngine) -> None:
    for order in await orders(old, "status = 1"):
        await changed(
            old.store,
            order,
            *(lambda o, sn=sn: o.close_attempt(sn, BUYER, now()) for sn in order.payments),
            lambda o: o.cancel("不要了", BUYER, now(), code="BUYER"),
        )
    for order in await orders(old, "status = 2"):
        await refund(old.store, order, SOME, approve, send, succeed)
        await changed(old.store, order, lambda o: o.ship("顺丰", "SF9", ADMIN, now(), auto_confirm_ms=DAY_MS))
    for order in await orders(old, "status = 5"):
        for number in order.refunds:
            await changed(old.store, order, partial(send, number=number))
    assert await faults(old.store, now) == ({}, {})
    (shipped, *_) = await orders(old, "logistics_no = 'SF9'")
    old.sql("UPDATE order_info SET due_ms = due_ms + 1 WHERE order_sn = ?", shipped.order_sn)
    for found in await faults(old.store, now):
        assert found.keys() == {shipped.order_sn}, "the new event tells it"
    await old.close()
