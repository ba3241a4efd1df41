"""A bill of many lines, as an operator compares it: how far it is, and what it needs and leaves."""

from __future__ import annotations

import io
import re
import sqlite3
import zipfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.large_bill import FORMATS, make
from bench.large_bill import run as reconcile
from tests.billed import BilledShop
from tests.e2e.started import Started, run

LINES = 40_000
TOO_MANY = 10 * LINES  # to be compared before the process is killed, however slow the machine
PROGRESS = re.compile(
    r"^(reading the bill|comparing the bill .*|searching .*): \d+( of \d+)? lines, \d+ a second$"
)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[BilledShop]:
    async with BilledShop(tmp_path) as running:
        yield running


async def large_bill(shop: BilledShop, count: int = LINES) -> Path:
    """The day's bill with its one payment, and as many payments of nobody."""
    packed = (await shop.provider.get(f"/alipay/sim/bills/{shop.day}")).content
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        name = next(name for name in archive.namelist() if "汇总" not in name)
        lines = archive.read(name).decode("gbk").split("\r\n")
    (at,) = (n for n, line in enumerate(lines) if line[:1].isdigit())
    (payment_sn,) = re.findall(r"\bP\d{27}", lines[at])
    lines[at:at] = [lines[at].replace(payment_sn, f"P{n:027d}") for n in range(count)]
    text = "\r\n".join(lines)

    def total(match: re.Match[str]) -> str:
        fen = int(match[1].replace(".", "")) * (count + 1)
        return f"交易合计：{count + 1}笔，商家实收共{fen // 100}.{fen % 100:02d}元"

    path = shop.folder / f"bill-{count}.csv"
    path.write_bytes(re.sub(r"交易合计：1笔，商家实收共([0-9.]+)元", total, text).encode("gbk"))
    return path


def results(shop: BilledShop) -> int:
    """Of the day of the bill."""
    with closing(sqlite3.connect(shop.loaded.settings.db.url.removeprefix("sqlite:///"))) as db:
        rows = db.execute("SELECT count(*) FROM reconciliation WHERE day = ?", (str(shop.day),))
        return int(rows.fetchone()[0])


async def test_a_killed_reconciliation_leaves_nothing_and_starts_again(shop: BilledShop) -> None:
    await shop.paid()
    temporary = shop.folder / "temporary"
    temporary.mkdir()
    environ = shop.environ | {"TMPDIR": str(temporary), "SQLITE_TMPDIR": str(temporary)}
    words = ("reconcile", "--channel", "alipay", "--date", str(shop.day), "--file")
    too_many = str(await large_bill(shop, TOO_MANY))
    async with Started(shop.folder, "shop-order", *words, too_many, environ=environ) as running:
        await running.says(" lines, ")
        running.process.kill()
        await running.process.wait()
    assert results(shop) == 0
    assert list(temporary.iterdir()) == [], "what was read is gone with the process"

    bill = str(await large_bill(shop))
    ran = await run(shop.folder, "shop-order", *words, bill, environ=environ)
    assert (ran.code, results(shop)) == (1, 1), ran.err
    assert f"\n{LINES} differences\n" in ran.out
    told = ran.err.splitlines()
    assert told
    assert all(PROGRESS.match(line) for line in told), ran.err
    assert list(temporary.iterdir()) == []


FEW, MANY = 5_000, 40_000
MORE_MB = 11  # the lines between them would need 13, and caches take 6


@pytest.mark.parametrize("channel", FORMATS)
def test_a_larger_bill_needs_no_more_memory(channel: str, tmp_path: Path) -> None:
    peaks_mb = []
    for lines in (FEW, MANY):
        folder = tmp_path / str(lines)
        folder.mkdir()
        make(folder, FORMATS[channel], lines)
        peaks_mb.append(reconcile(folder, channel)["mb"])
    few_mb, many_mb = peaks_mb
    assert few_mb > 20, "what was measured?"
    assert many_mb - few_mb < MORE_MB
