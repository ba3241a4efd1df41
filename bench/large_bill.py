"""`python -m bench.large_bill`: reconciles a bill of a million lines, and shows time and memory.

The bill is written to a file as its provider writes it, its payments into a separate SQLite database; one
process reads and compares it, as `shop-order reconcile --file` does. Every hundredth line is a refund.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import io
import json
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import IO

from shop_order.domain.bill import DAY_MS, Bill, first_ms
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.ports import BillNotOut, LinesRead
from shop_order.domain.status import PaymentState, PaymentType, RefundState
from shop_order.gateway.payment.alipay import bill_file as alipay
from shop_order.gateway.payment.wechat import bill_file as wechat
from shop_order.repository.dao import rows
from shop_order.repository.dao.store import open_store
from shop_order.repository.schema import migrate
from shop_order.service.upkeep.bill_progress import Progress
from shop_order.service.upkeep.reconcile import ReconciliationService

DAY = date(2026, 11, 21)
SELLER, MERCHANT = "2088000000000001", "1900000001"
FEN, FEE_FEN = 1999, 12
REFUND_EVERY = 100
CHUNK = 10_000
WATCHED_EVERY_S = 0.005


def main() -> None:
    """Print a table, or with `--run` be the process that is measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.large_bill", description=__doc__)
    parser.add_argument("--channel", choices=sorted(FORMATS), default="alipay")
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument(
        "--dir", type=Path, default=Path("data"), help="folder of the databases, on a real disk"
    )
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.run:
        print(json.dumps(asyncio.run(measured(chosen.run, FORMATS[chosen.channel]))))
        return
    print(
        "| lines | file MB | seconds | lines/s | most MB of memory | loop late, p99 ms |\n" + "|---" * 6 + "|"
    )
    chosen.dir.mkdir(parents=True, exist_ok=True)
    for lines in chosen.lines:
        folder = Path(tempfile.mkdtemp(prefix="bill-", dir=chosen.dir))
        try:
            make(folder, FORMATS[chosen.channel], lines)
            print(table_row(folder, chosen.channel, lines), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, channel: str) -> dict[str, float]:
    """Reconcile what `make` has written, in a process of its own."""
    command = [sys.executable, "-m", "bench.large_bill", "--channel", channel, "--run", str(folder)]
    ran: dict[str, float] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    return ran


def table_row(folder: Path, channel: str, lines: int) -> str:
    """What was measured."""
    ran = run(folder, channel)
    megabytes, seconds = (folder / "bill").stat().st_size / 1e6, ran["seconds"]
    figures = f"{lines:,} | {megabytes:.1f} | {seconds:.1f} | {int(lines / seconds):,}"
    return f"| {figures} | {ran['mb']:.0f} | {ran['late_ms']:.1f} |"


@dataclass(frozen=True, slots=True)
class Format:
    """A provider's bill: how to write it, line by line, and how to read it."""

    channel: PaymentType
    write: Callable[[IO[bytes], int], None]
    read: Callable[[IO[bytes], date, LinesRead], Bill]


def numbers(lines: int) -> Iterator[tuple[int, str, str]]:
    """Each line's number, its payment's number, and its refund's or nothing."""
    for n in range(lines):
        is_refund = n % REFUND_EVERY == REFUND_EVERY - 1
        yield n, f"P{261121 * 10**21 + (n - is_refund) * 7919:027d}", f"R{n:027d}" if is_refund else ""


def trade_no(payment_sn: str) -> str:
    """The provider's number of a payment."""
    return f"20261121220014{payment_sn[-14:]}"


def write_alipay(file: IO[bytes], lines: int) -> None:
    """Write a zip with the details, and their totals below them."""
    refunds = lines // REFUND_EVERY
    trades = lines - refunds
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("details.csv", "w", force_zip64=True) as packed,
        io.TextIOWrapper(packed, "gbk", newline="") as text,
    ):
        after = DAY + timedelta(days=1)
        span = f"#起始日期：[{DAY:%Y年%m月%d日} 00:00:00]   终止日期：[{after:%Y年%m月%d日} 00:00:00]"
        names = (
            "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,"
            "对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,"
            "券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
        )
        head = ("#支付宝业务明细查询", f"#账号：[{SELLER}0156]", span, "#---业务明细列表---", names)
        text.write("\r\n".join((*head, "")))
        for n, payment_sn, refund_sn in numbers(lines):
            kind, sign, back = ("退款", "-", "") if refund_sn else ("交易", "", "-")
            moment = f"2026-11-21 {n % 86_400 // 3600:02d}:{n % 3600 // 60:02d}:{n % 60:02d}"
            money = f"{sign}{FEN / 100:.2f}\t,{sign}{FEN / 100:.2f}"
            text.write(
                f"{trade_no(payment_sn)}\t,{payment_sn}\t,{kind}\t,Order {payment_sn[1:]}\t,{moment}\t,"
                f"{moment}\t,\t,\t,\t,\t,*小明(138****0000)\t,{money}\t,0.00\t,0.00\t,0.00\t,0.00\t,0.00\t,\t,0.00\t,0.00\t,"
                f"{refund_sn}\t,{back}{FEE_FEN / 100:.2f}\t,0.00\t,\t\r\n"
            )
        text.write("#---业务明细列表结束---\r\n")
        text.write(f"#交易合计：{trades}笔，商家实收共{trades * FEN / 100:.2f}元，商家优惠共0.00元\r\n")
        text.write(
            f"#退款合计：{refunds}笔，商家实收退款共{-refunds * FEN / 100:.2f}元，商家优惠退款共0.00元\r\n"
        )


def write_wechat(file: IO[bytes], lines: int) -> None:
    """Write a packed file with the details, and their totals below them."""
    names = (
        "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,"
        "货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,"
        "商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
    )
    refunds = lines // REFUND_EVERY
    price, fee, none = f"{FEN / 100:.2f}", f"{FEE_FEN / 100:.5f}", "0.00"
    with gzip.open(file, "wt", compresslevel=1, encoding="utf-8", newline="") as text:
        text.write(f"{names}\r\n")
        for n, payment_sn, refund_sn in numbers(lines):
            moment = f"2026-11-21 {n % 86_400 // 3600:02d}:{n % 3600 // 60:02d}:{n % 60:02d}"
            head = (moment, "wx0000000000000001", MERCHANT, "0", "", trade_no(payment_sn), payment_sn)
            if refund_sn:
                back = (f"50300{refund_sn[-16:]}", refund_sn, price, none, "ORIGINAL", "SUCCESS")
                state, paid, fees, whole, wanted = "REFUND", none, f"-{fee}", none, price
            else:
                back = ("0", "0", none, none, "", "")
                state, paid, fees, whole, wanted = "SUCCESS", price, fee, price, none
            goods = (f"Order {payment_sn[1:]}", "", fees, "0.60%", whole, wanted, "")
            row = (*head, "oBuyer", "NATIVE", state, "OTHERS", "CNY", paid, none, *back, *goods)
            text.write(f"`{',`'.join(row)}\r\n")
        text.write(
            "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"
        )
        came, went = f"{(lines - refunds) * FEN / 100:.2f}", f"{refunds * FEN / 100:.2f}"
        fees = f"{(lines - 2 * refunds) * FEE_FEN / 100:.5f}"
        text.write(f"`{',`'.join((str(lines), came, went, none, fees, came, went))}\r\n")


FORMATS = {
    "alipay": Format(
        PaymentType.ALIPAY, write_alipay, lambda file, day, read: alipay.bill_of(file, day, SELLER, read)
    ),
    "wechat": Format(
        PaymentType.WECHAT, write_wechat, lambda file, day, read: wechat.bill_of(file, day, MERCHANT, read)
    ),
}


def make(folder: Path, how: Format, lines: int) -> None:
    """Write the bill, and a database that has all that is in it."""
    with (folder / "bill").open("wb") as file:
        how.write(file, lines)
    migrate(f"sqlite:///{folder / 'order.db'}")
    with closing(sqlite3.connect(folder / "order.db")) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        payments, refunds = [], []
        for n, payment_sn, refund_sn in numbers(lines):
            paid_ms = first_ms(DAY) + 3_600_000 + n % (DAY_MS // 2)
            if refund_sn:
                refunds.append(refund_row(refund_sn, payment_sn, paid_ms))
            else:
                payments.append(payment_row(how.channel, payment_sn, paid_ms))
            if len(payments) >= CHUNK or n == lines - 1:
                insert(db, "payment", rows.PAYMENT.select, payments)
                insert(db, "refund", rows.REFUND.select, refunds)
                payments, refunds = [], []


def payment_row(channel: PaymentType, payment_sn: str, paid_ms: int) -> tuple[object, ...]:
    """The row of a paid attempt."""
    payment = Payment(
        payment_sn, payment_sn[1:], 7, channel, "page", FEN, PaymentState.PAID, "", paid_ms, paid_ms,
        trade_no=trade_no(payment_sn), paid_ms=paid_ms,
    )  # fmt: skip
    return tuple(rows.PAYMENT.row(payment))


def refund_row(refund_sn: str, payment_sn: str, done_ms: int) -> tuple[object, ...]:
    """The row of a refund that succeeded."""
    refund = Refund(
        refund_sn, payment_sn, payment_sn[1:], FEN, RefundState.SUCCEEDED, "", False, done_ms, done_ms
    )
    return tuple(rows.REFUND.row(refund))


def insert(db: sqlite3.Connection, table: str, columns: str, values: list[tuple[object, ...]]) -> None:
    """Insert rows."""
    marks = ", ".join("?" * (columns.count(",") + 1))
    db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)


class FromFile:
    """See `domain.ports.BillSource`; the bills of other days do not exist."""

    max_bytes = 1 << 40
    out_ms = 0

    def __init__(self, how: Format) -> None:
        self._how = how

    def available(self) -> bool:
        return True

    async def bill(self, day: date, read: LinesRead) -> Bill:
        raise BillNotOut(day)

    async def read(self, day: date, file: IO[bytes], read: LinesRead) -> Bill:
        return await asyncio.to_thread(self._how.read, file, day, read)


async def measured(folder: Path, how: Format) -> dict[str, float]:
    """Reconcile, and return the seconds and the most memory that this process used."""
    store = open_store(f"sqlite:///{folder / 'order.db'}", next_id=count(1).__next__)
    await store.open()
    await store.leases.hold("reconcile")
    service = ReconciliationService(
        store=store.reconciliations,
        sources={how.channel: FromFile(how)},
        real_clock=lambda: first_ms(DAY) + 3 * DAY_MS,
        clock=lambda: first_ms(DAY) + 3 * DAY_MS,
        fence=lambda: store.leases.fence("reconcile"),
        warn=print,
        log=print,
    )
    late_ms: list[float] = []
    watching = asyncio.create_task(watch(late_ms))
    began_s = time.perf_counter()
    with (folder / "bill").open("rb") as file:
        result = await service.reconcile(how.channel, DAY, file, tell)
    seconds = time.perf_counter() - began_s
    watching.cancel()
    await store.close()
    if result.differences or result.ours != result.theirs:
        raise SystemExit(f"{result.differences} differences in a bill that should agree")
    late_ms.sort()
    return {
        "seconds": seconds,
        "mb": most_mb(),
        "late_ms": late_ms[len(late_ms) * 99 // 100],
    }


def most_mb() -> float:
    """The most memory that this process has used.

    On Linux since it began to run this program: `ru_maxrss` is at least what its parent had used.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (peak_kb,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(peak_kb) / 1024


async def watch(late_ms: list[float]) -> None:
    """How much later than wanted the loop comes back, as a request would see it."""
    while True:
        began_s = time.perf_counter()
        await asyncio.sleep(WATCHED_EVERY_S)
        late_ms.append((time.perf_counter() - began_s - WATCHED_EVERY_S) * 1000)


def tell(progress: Progress) -> None:
    """Show where the time goes."""
    print(f"{progress.step}: {progress.done} of {progress.total}, {progress.per_s}/s", file=sys.stderr)


if __name__ == "__main__":
    main()
