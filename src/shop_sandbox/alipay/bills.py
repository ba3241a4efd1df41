"""The provider's bills: published at 10:00 on the next day, in the real format, at a URL valid for 30 s.

For tests a bill can be published early, and can be made to differ from the trades.
"""

import csv
import io
import secrets
import sqlite3
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zlib import crc32

from shop_sandbox.alipay.content import BUYER_LOGON_ID
from shop_sandbox.alipay.fields import CHINA, format_time, format_yuan
from shop_sandbox.alipay.keys import SELLER_ID
from shop_sandbox.alipay.requests import Refused, invalid
from shop_sandbox.database import Database

PUBLISH_HOUR = 10
DOWNLOAD_TTL_MS = 30_000
MAX_DOWNLOADS = 100
MAX_PLANTED = 1_000
ACCOUNT = f"{SELLER_ID}0156"
FEE = 0.006
COLUMNS = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,"
    "券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
SUMMARY_COLUMNS = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,"
    "商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)
_DASHES = "#-----------------------------------------"


@dataclass(frozen=True, slots=True)
class BillLine:
    """A line of a bill: a trade, or a refund of one if `request_no` is set."""

    trade_no: str
    out_trade_no: str
    subject: str
    created_ms: int
    happened_ms: int
    amount_fen: int
    request_no: str = ""

    @property
    def number(self) -> str:
        """The number by which a test names this line."""
        return self.request_no or self.out_trade_no

    @property
    def signed_fen(self) -> int:
        """The amount; negative for a refund."""
        return -self.amount_fen if self.request_no else self.amount_fen


class Bills:
    """Bills, built from the trades on each request."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._published_early: set[date] = set()
        self._planted: dict[date, list[Mapping[str, Any]]] = {}
        self._downloads: dict[str, tuple[date, int]] = {}

    async def download_address(self, biz: Mapping[str, Any], site: str) -> dict[str, object]:
        """The answer to a query for the download URL of a bill. Raises Refused."""
        if biz.get("bill_type") != "trade":
            raise invalid("isv.invalid-arguments", "bill_type 无效")
        try:
            day = date.fromisoformat(str(biz.get("bill_date")))
        except ValueError:
            raise invalid("isv.invalid-arguments", "bill_date 无效") from None
        now_ms = self._clock_ms()
        is_published = (
            day in self._published_early
            or now_ms >= _day_start_ms(day + timedelta(days=1)) + PUBLISH_HOUR * 3_600_000
        )
        if not is_published or not await self._lines(day):
            raise Refused("isp.bill_not_exist", "账单不存在")
        self._downloads = {k: v for k, v in self._downloads.items() if v[1] >= now_ms}
        if len(self._downloads) >= MAX_DOWNLOADS:
            raise Refused("isp.unknow-error", "系统繁忙", code="20000", msg="Service Currently Unavailable")
        token = secrets.token_urlsafe(24)
        self._downloads[token] = (day, now_ms + DOWNLOAD_TTL_MS)
        return {"bill_download_url": f"{site.rstrip('/')}/alipay/bill?fileId={token}"}

    async def file(self, token: str) -> bytes | None:
        """The zip file behind a download URL; None once the URL has expired."""
        day, until_ms = self._downloads.get(token, (None, 0))
        return await self.archive(day) if day and self._clock_ms() < until_ms else None

    async def archive(self, day: date) -> bytes:
        """The zip file of a day, whether published yet or not."""
        lines, target = await self._lines(day), io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            name = f"{ACCOUNT}_{day:%Y%m%d}_业务明细"
            now_ms = self._clock_ms()
            archive.writestr(f"{name}.csv", details(day, lines, now_ms).encode("gbk"))
            archive.writestr(f"{name}(汇总).csv", summary(day, lines, now_ms).encode("gbk"))
        return target.getvalue()

    def plant(self, day: date, change: Mapping[str, Any]) -> None:
        """Change the bill of a day, for a test. Raises ValueError.

        `{"out": true}` publishes it now. `missing`, `again`, `trade_no`, and `amount` with `fen`, name a line
        to leave out, repeat or alter; `stranger` and `stranger_refund` add an unknown line of so many fen.
        """
        if change == {"out": True}:
            self._published_early.add(day)
            return
        planted = self._planted.setdefault(day, [])
        _with_change([], change, 0)
        if len(planted) >= MAX_PLANTED:
            raise ValueError("too many")
        planted.append(change)

    async def _lines(self, day: date) -> list[BillLine]:
        start_ms = _day_start_ms(day)
        span = (start_ms, start_ms + 86_400_000)
        trades = (
            "SELECT t.trade_no, out_trade_no, s.subject, t.created_ms, t.paid_ms, s.amount_fen, ''"
            " FROM trade t JOIN session s USING (out_trade_no) WHERE t.paid_ms >= ? AND t.paid_ms < ?"
        )
        refunds = (
            "SELECT t.trade_no, out_trade_no, s.subject, t.created_ms, r.created_ms, r.amount_fen,"
            " r.out_request_no FROM refund r JOIN trade t USING (out_trade_no)"
            " JOIN session s USING (out_trade_no) WHERE r.created_ms >= ? AND r.created_ms < ?"
        )

        def read(connection: sqlite3.Connection) -> list[BillLine]:
            rows = [*connection.execute(trades, span), *connection.execute(refunds, span)]
            return sorted((BillLine(*row) for row in rows), key=lambda one: (one.happened_ms, one.request_no))

        lines = await self._database.run(read)
        for change in self._planted.get(day, ()):
            lines = _with_change(lines, change, start_ms)
        return lines


def _with_change(lines: Sequence[BillLine], change: Mapping[str, Any], start_ms: int) -> list[BillLine]:
    match change:
        case {"missing": str(number)}:
            return [one for one in lines if one.number != number]
        case {"again": str(number)}:
            return [*lines, *(one for one in lines if one.number == number)]
        case {"trade_no": str(number)}:
            other = _trade_no(start_ms, crc32(number.encode()))
            return [replace(one, trade_no=other) if one.number == number else one for one in lines]
        case {"amount": str(number), "fen": int(fen)} if fen > 0:
            return [replace(one, amount_fen=fen) if one.number == number else one for one in lines]
        case {"stranger": int(fen)} if fen > 0:
            return [*lines, _stranger(start_ms, fen)]
        case {"stranger_refund": int(fen)} if fen > 0:
            return [*lines, replace(_stranger(start_ms, fen), request_no=f"STRANGERR{fen}")]
    raise ValueError("out, missing, again, trade_no, amount and fen, stranger, or stranger_refund")


def _stranger(start_ms: int, fen: int) -> BillLine:
    trade_no = _trade_no(start_ms, fen)
    return BillLine(trade_no, f"STRANGER{fen}", "nobody's", start_ms + 1_000, start_ms + 2_000, fen)


def _trade_no(start_ms: int, digits: int) -> str:
    """A trade number that is the same each time the bill is built."""
    return f"{datetime.fromtimestamp(start_ms / 1000, CHINA):%Y%m%d}22001{digits:015d}"


def details(day: date, lines: Sequence[BillLine], now_ms: int) -> str:
    """The CSV file with every line."""
    trades = [one.amount_fen for one in lines if not one.request_no]
    refunds = [one.signed_fen for one in lines if one.request_no]
    return "\r\n".join(
        (
            "#支付宝业务明细查询",
            *_header(day),
            f"{_DASHES}业务明细列表----------------------------------------",
            COLUMNS,
            *(_csv_row(_row(one)) for one in lines),
            f"{_DASHES}业务明细列表结束------------------------------------",
            f"#交易合计：{len(trades)}笔，商家实收共{_signed_yuan(sum(trades))}元，商家优惠共0.00元",
            f"#退款合计：{len(refunds)}笔，商家实收退款共{_signed_yuan(sum(refunds))}元，商家优惠退款共0.00元",
            f"#导出时间：[{_chinese_time(now_ms)}]",
            "",
        )
    )


def summary(day: date, lines: Sequence[BillLine], now_ms: int) -> str:
    """The CSV file with the totals: one row for the only store, which has no number, and one overall."""
    trades = sum(not one.request_no for one in lines)
    total, fees = sum(one.signed_fen for one in lines), sum(_fee(one) for one in lines)
    money = (total, total, 0, 0, 0, fees, 0, total + fees)
    sums = (str(trades), str(len(lines) - trades), *map(_signed_yuan, money))
    return "\r\n".join(
        (
            "#支付宝业务汇总查询",
            *_header(day),
            f"{_DASHES}业务汇总列表----------------------------------------",
            SUMMARY_COLUMNS,
            _csv_row(("", "", *sums)),
            _csv_row(("合计", "", *sums)),
            "#----------------------------------------业务汇总列表结束-------------------------------------",
            f"#导出时间：[{_chinese_time(now_ms)}]",
            "",
        )
    )


def _header(day: date) -> tuple[str, str]:
    start_ms = _day_start_ms(day)
    span = f"#起始日期：[{_chinese_time(start_ms)}]   终止日期：[{_chinese_time(start_ms + 86_400_000)}]"
    return (f"#账号：[{ACCOUNT}]", span)


def _row(one: BillLine) -> tuple[str, ...]:
    money = _signed_yuan(one.signed_fen)
    return (
        one.trade_no, one.out_trade_no, "退款" if one.request_no else "交易", one.subject,
        format_time(one.created_ms), format_time(one.happened_ms), "", "", "", "", BUYER_LOGON_ID,
        money, money, "0.00", "0.00", "0.00", "0.00", "0.00", "", "0.00", "0.00", one.request_no,
        _signed_yuan(_fee(one)), "0.00", "",
    )  # fmt: skip


def _csv_row(row: Sequence[str]) -> str:
    target = io.StringIO()
    csv.writer(target, lineterminator="").writerow([f"{value}\t" for value in row])
    return target.getvalue()


def _fee(one: BillLine) -> int:
    return -round(one.signed_fen * FEE)


def _signed_yuan(fen: int) -> str:
    return f"-{format_yuan(-fen)}" if fen < 0 else format_yuan(fen)


def _day_start_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=CHINA).timestamp()) * 1000


def _chinese_time(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, CHINA):%Y年%m月%d日 %H:%M:%S}"
