"""The provider's bills: published at 10:00 on the next day, in the real format, at a URL valid for 30 s.

For tests a bill can be published early, and can be made to differ from the trades.
"""

import csv
import io
import sqlite3
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from shop_sandbox.alipay.content import BUYER_LOGON_ID
from shop_sandbox.alipay.fields import CHINA, format_time, format_yuan
from shop_sandbox.alipay.keys import SELLER_ID
from shop_sandbox.alipay.requests import Refused, invalid
from shop_sandbox.database import Database
from shop_sandbox.payments.bills import BillLine, PublishedBills, TooManyDownloads
from shop_sandbox.payments.formats import day_start_ms

ACCOUNT = f"{SELLER_ID}0156"
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


class Bills:
    """Bills, built from the trades on each request."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self.published = PublishedBills(clock_ms, _stranger, _trade_no)

    async def download_address(self, biz: Mapping[str, Any], site: str) -> dict[str, object]:
        """The answer to a query for the download URL of a bill. Raises Refused."""
        if biz.get("bill_type") != "trade":
            raise invalid("isv.invalid-arguments", "bill_type 无效")
        try:
            day = date.fromisoformat(str(biz.get("bill_date")))
        except ValueError:
            raise invalid("isv.invalid-arguments", "bill_date 无效") from None
        if not self.published.is_out(day) or not await self._lines(day):
            raise Refused("isp.bill_not_exist", "账单不存在")
        try:
            token = self.published.give_out(day.isoformat())
        except TooManyDownloads:
            raise Refused(
                "isp.unknow-error", "系统繁忙", code="20000", msg="Service Currently Unavailable"
            ) from None
        return {"bill_download_url": f"{site.rstrip('/')}/alipay/bill?fileId={token}"}

    async def file(self, token: str) -> bytes | None:
        """The zip file behind a download URL; None once the URL has expired."""
        name = self.published.name_of(token)
        return await self.archive(date.fromisoformat(name)) if name else None

    async def archive(self, day: date) -> bytes:
        """The zip file of a day, whether published yet or not."""
        lines, target = await self._lines(day), io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            name = f"{ACCOUNT}_{day:%Y%m%d}_业务明细"
            now_ms = self._clock_ms()
            archive.writestr(f"{name}.csv", details(day, lines, now_ms).encode("gbk"))
            archive.writestr(f"{name}(汇总).csv", summary(day, lines, now_ms).encode("gbk"))
        return target.getvalue()

    async def _lines(self, day: date) -> list[BillLine]:
        start_ms = day_start_ms(day)
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

        return self.published.changed(day, await self._database.run(read))


def _stranger(start_ms: int, fen: int, request_no: str) -> BillLine:
    trade_no, number = _trade_no(start_ms, fen), f"STRANGER{fen}"
    return BillLine(trade_no, number, "nobody's", start_ms + 1_000, start_ms + 2_000, fen, request_no)


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
            f"#交易合计：{len(trades)}笔，商家实收共{format_yuan(sum(trades))}元，商家优惠共0.00元",
            f"#退款合计：{len(refunds)}笔，商家实收退款共{format_yuan(sum(refunds))}元，商家优惠退款共0.00元",
            f"#导出时间：[{_chinese_time(now_ms)}]",
            "",
        )
    )


def summary(day: date, lines: Sequence[BillLine], now_ms: int) -> str:
    """The CSV file with the totals: one row for the only store, which has no number, and one overall."""
    trades = sum(not one.request_no for one in lines)
    total, fees = sum(one.signed_fen for one in lines), sum(-one.fee for one in lines)
    money = (total, total, 0, 0, 0, fees, 0, total + fees)
    sums = (str(trades), str(len(lines) - trades), *map(format_yuan, money))
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
    start_ms = day_start_ms(day)
    span = f"#起始日期：[{_chinese_time(start_ms)}]   终止日期：[{_chinese_time(start_ms + 86_400_000)}]"
    return (f"#账号：[{ACCOUNT}]", span)


def _row(one: BillLine) -> tuple[str, ...]:
    money = format_yuan(one.signed_fen)
    return (
        one.trade_no, one.out_trade_no, "退款" if one.request_no else "交易", one.subject,
        format_time(one.created_ms), format_time(one.happened_ms), "", "", "", "", BUYER_LOGON_ID,
        money, money, "0.00", "0.00", "0.00", "0.00", "0.00", "", "0.00", "0.00", one.request_no,
        format_yuan(-one.fee), "0.00", "",
    )  # fmt: skip


def _csv_row(row: Sequence[str]) -> str:
    target = io.StringIO()
    csv.writer(target, lineterminator="").writerow([f"{value}\t" for value in row])
    return target.getvalue()


def _chinese_time(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, CHINA):%Y年%m月%d日 %H:%M:%S}"
