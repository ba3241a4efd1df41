"""`shop-order reconcile` beside a running Shop, as an operator types it."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shop_order.cmd.cli import reconcile
from shop_order.cmd.run import job_locks
from shop_order.cmd.run.job_locks import exclusive_job, while_locked
from shop_order.cmd.wiring.core import Core
from shop_order.configs import load
from shop_order.domain.ports import Fence, LeaseLost
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.parties import Role
from shop_order.service.upkeep.reconcile import JOB as RECONCILE
from tests.billed import BilledShop
from tests.e2e.started import Ran, run
from tests.plugins.engines import available


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[BilledShop]:
    async with BilledShop(tmp_path) as running:
        yield running


async def reconciled(shop: BilledShop, *words: str, **environ: str) -> Ran:
    """The command for the day of the shop."""
    base = ("--channel", "alipay", "--date", str(shop.day))
    return await run(shop.folder, "shop-order", "reconcile", *(words or base), environ=shop.environ | environ)


async def test_a_day_that_agrees_and_one_that_differs(shop: BilledShop) -> None:
    sn = (await shop.paid(nums=2))["order_sn"]
    payment = await shop.payment(sn)
    await shop.refunded()
    shop.day_is_over()
    ran = await reconciled(shop)
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "they agree"), ran
    bill, here = (line.split() for line in ran.out.splitlines()[2:4])
    assert bill[2:] == here[1:]
    assert (bill[2], bill[4]) == ("2", "1")

    await shop.plant(amount=payment["payment_sn"], fen=1)
    await shop.plant(stranger=777)
    ran = await reconciled(shop)
    assert ran.code == 1
    assert f"amount: {payment['payment_sn']} (order {sn}): the bill has 0.01, we have" in ran.out
    assert "the bill has 7.77 as trade" in ran.out
    assert "2 differences" in ran.out
    assert (await reconciled(shop)).out == ran.out
    sums = [
        [number for number in line.split() if number.strip("-.0123456789") == ""]
        for line in ran.out.splitlines()
    ]
    bill, here, more = sums[2:5]
    assert [float(h) - float(b) for b, h in zip(bill, here, strict=True)] == pytest.approx(
        [*map(float, more)]
    )
    assert more[0] == "-1"

    data = json.loads((await reconciled(shop, "--channel", "alipay", "--date", str(shop.day), "--json")).out)
    assert (data["channel"], data["day"], data["differences"]) == ("alipay", str(shop.day), 2)


async def test_a_file_from_the_providers_site_will_do(shop: BilledShop) -> None:
    await shop.paid()
    path = shop.folder / "bill.zip"
    path.write_bytes((await shop.provider.get(f"/alipay/sim/bills/{shop.day}")).content)
    words = ("--channel", "alipay", "--date", str(shop.day), "--file", str(path))
    ran = await reconciled(shop, *words)
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "they agree"), ran
    other = (*words[:3], str(shop.day - timedelta(days=1)), *words[4:])
    ran = await reconciled(shop, *other)
    assert (ran.code, ran.out) == (2, "")
    assert "the bill is not of" in ran.err
    path.write_bytes(b"nothing")
    assert (await reconciled(shop, *words)).code == 2
    assert (await reconciled(shop, *words[:-1], "nowhere.zip")).code == 2


async def test_lost_money_is_settled_by_the_running_service(shop: BilledShop) -> None:
    order_sn = await shop.unheard()
    shop.day_is_over()
    ran = await reconciled(shop)
    assert ran.code == 0, ran
    assert "1 item that only the bill knew: asked about at the provider, now settled" in ran.out
    assert (await shop.order(order_sn))["status"] == 2
    await shop.check_doctor()


async def settlement(shop: BilledShop, *words: str) -> Ran:
    """The export of the day of the shop."""
    days = ("--from", str(shop.day), "--to", str(shop.day), "--channel", "alipay")
    return await run(shop.folder, "shop-order", "settlement", *(words or days), environ=shop.environ)


async def test_a_day_is_exported_for_the_accounts_to_the_fen(shop: BilledShop) -> None:
    await shop.paid(nums=2)
    await shop.refunded()
    ran = await settlement(shop)
    assert (ran.code, next(csv.DictReader(ran.out.splitlines()))["state"]) in (
        (1, "not_out"),
        (1, "bill_missing"),
    )
    shop.day_is_over()
    assert (await reconciled(shop)).code == 0
    ran = await settlement(shop)
    day, total = csv.DictReader(ran.out.splitlines())
    assert (ran.code, day["day"], day["state"]) == (0, str(shop.day), "reconciled")
    assert total == day | {"day": "total", "state": "complete"}
    fen = {name: round(float(day[name]) * 100) for name in ("gross", "refunded", "fees", "discounts", "net")}
    assert fen["net"] == fen["gross"] - fen["refunded"] - fen["fees"] - fen["discounts"]
    assert fen["fees"] > 0

    async def counted() -> bool:
        return not (await shop.core.statistics.report()).waiting

    await shop.until(counted)
    statistics = (await shop.core.statistics.report()).by_channel["alipay"]  # by the day of the order
    assert (fen["gross"], fen["refunded"]) == (statistics.paid_fen, statistics.refunded_fen)

    span = ("--from", str(shop.day), "--to", str(shop.day))
    found = json.loads((await settlement(shop, *span, "--channel", "alipay", "--json")).out)
    (one,), (all_,) = found["days"], found["by_channel"]
    assert (found["complete"], one["net_fen"]) == (True, fen["net"])
    assert one == all_ | {"day": str(shop.day), "state": "reconciled"}
    path = f"/api/v1/admin/stats/settlement?start={shop.day}&end={shop.day}"
    answer = await shop.http.get(path, headers=shop.bearer(role=Role.ADMIN))
    assert answer.json()["data"]["days"][0]["net_fen"] == fen["net"]

    await shop.plant(stranger=777)
    await reconciled(shop)
    ran = await settlement(shop)
    seen = [row["state"] for row in csv.DictReader(ran.out.splitlines())]
    assert (ran.code, seen) == (1, ["differences", "incomplete"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--from", "2026-11-02", "--to", "2026-11-01"), "end must"),
        (("--from", "yesterday", "--to", "2026-11-01"), "--from yesterday"),
        (("--from", "2026-11-01", "--to", "2026-11-01", "--channel", "paypal"), "--channel paypal"),
    ],
)
async def test_days_that_can_not_be_exported_are_one_line(
    shop: BilledShop, words: tuple[str, ...], why: str
) -> None:
    ran = await settlement(shop, *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert why in ran.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--channel", "alipay", "--date", "yesterday"), "--date yesterday"),
        (("--channel", "alipay", "--date", "2026-02-30"), "--date 2026-02-30"),
        (("--channel", "alipay", "--date", "2199-01-01"), "date must not be after today"),
        (("--channel", "paypal", "--date", "2026-11-21"), "--channel paypal"),
        (
            ("--channel", "balance", "--date", "2026-11-21"),
            "--channel balance: it is not configured, or provides no bills",
        ),
    ],
)
async def test_what_can_not_be_done_is_one_line(shop: BilledShop, words: tuple[str, ...], why: str) -> None:
    ran = await reconciled(shop, *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert why in ran.err


async def test_a_bill_that_is_not_out_and_a_provider_that_is_away_are_one_line(shop: BilledShop) -> None:
    ran = await reconciled(shop)
    assert (ran.code, ran.out) == (2, "")
    assert f"no bill of {shop.day}" in ran.err
    away = {"SHOP_ORDER_PAY__ALIPAY__GATEWAY": "http://127.0.0.1:9/gateway.do"}
    ran = await reconciled(shop, **away)
    assert (ran.code, ran.out) == (2, "")
    said = "shop-order: the payment provider is not available; try again (http://127.0.0.1:9/gateway.do)\n"
    assert ran.err.endswith(said)


async def test_on_a_file_one_command_at_a_time(shop: BilledShop) -> None:
    with exclusive_job(shop.loaded.settings, RECONCILE):
        ran = await reconciled(shop)
    assert (ran.code, ran.err) == (2, "shop-order: another reconcile is running on this database\n")


@pytest.mark.parametrize("consul", available("consul"))
async def test_a_lock_in_consul_lets_one_reconcile_at_a_time(
    shop: BilledShop, consul: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.paid()
    shop.day_is_over()
    core = Core(load(shop.environ | {"SHOP_ORDER_REGISTRY__URL": consul}), token=lambda: "")
    await core.open(serve=False)
    holder = job_locks.job_locks(core)
    try:
        monkeypatch.setattr(job_locks, "WAIT_S", 0.0)
        assert await holder.acquire(RECONCILE)
        assert await reconcile.run_exclusively(core, PaymentType.ALIPAY, shop.day, None) is None
        await holder.release(RECONCILE)
        monkeypatch.setattr(job_locks, "WAIT_S", 20.0)
        assert await reconcile.run_exclusively(core, PaymentType.ALIPAY, shop.day, None) is not None
    finally:
        await holder.close()
        await core.close()


async def test_work_that_takes_long_renews_its_lease_and_ends_when_that_is_another_s() -> None:
    answers, ended = iter([True, True, False]), asyncio.Event()
    asked: list[bool] = []

    async def ours() -> bool:
        asked.append(next(answers))
        return asked[-1]

    async def work() -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(LeaseLost):
        await while_locked(ours, Fence(RECONCILE, 1), work(), every_s=0.01)
    assert (asked, ended.is_set()) == ([True, True, False], True)

    async def short() -> int:
        return 7

    assert await while_locked(ours, Fence(RECONCILE, 1), short()) == 7
