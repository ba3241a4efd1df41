"""Somebody writes past the running services: buyers go on, and the operator hears of it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shop_order.cmd.cli.root import app as cli
from shop_order.domain.valueobject.parties import Role
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")
MORE_THAN_A_BATCH = 34
ALERTS = 'shop_order_alerts_total{name="row_unreadable"}'


def written(file: Path, statement: str) -> None:
    """A statement of somebody else."""
    connection = sqlite3.connect(file, timeout=10)
    with connection:
        connection.execute(statement)
    connection.close()


async def doctor(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """What the operator's command says."""
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    done = await asyncio.to_thread(CliRunner().invoke, cli, ["doctor"])
    return done.exit_code, done.output


async def test_altered_orders_stop_neither_lists_nor_time_outs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Shop(tmp_path) as shop:
        bad = [(await shop.place(8, goods=102))["order_sn"] for _ in range(MORE_THAN_A_BATCH)]
        written(tmp_path / "order" / "order.db", "UPDATE order_info SET pay_type = 'shells'")
        good = (await shop.place(7))["order_sn"]
        everybody = shop.bearer(1, role=Role.ADMIN)
        page = (await shop.http.get("/api/v1/orders?page_size=100", headers=everybody)).json()
        assert [order["order_sn"] for order in page["data"]["items"]] == [good]
        await shop.advance(1800)

        async def cancelled() -> bool:
            return bool((await shop.order(good))["status"] == 5)

        await shop.until(cancelled)
        text = (await shop.http.get("/metrics")).text
        metrics = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        assert float(metrics[ALERTS]) == MORE_THAN_A_BATCH, "each once, however often it is met"
        code, said = await doctor(shop, monkeypatch)
        assert code == 1
        assert all(f"history: order {sn} can't be read" in said for sn in bad)
        assert good not in said


async def test_a_counter_of_the_inventory_that_drifted_is_named_by_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Shop(tmp_path) as shop:
        await shop.paid()
        await shop.place(7)
        await shop.check_doctor()
        written(
            tmp_path / "sandbox" / "inventory.db",
            "UPDATE stock SET reserved = reserved + 2, available = available - 2 WHERE goods_id = 101",
        )
        code, said = await doctor(shop, monkeypatch)
        assert code == 1
        assert "stock: goods 101: the inventory counts 2 more reserved than its leases hold\n" in said
