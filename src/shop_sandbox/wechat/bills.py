"""Trade bills: CSV with a backtick before each value, amounts in yuan, two lines of totals at the end."""

import gzip
import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import parse_qsl

from starlette.requests import Request

from shop_sandbox.database import Database
from shop_sandbox.payments.bills import BillLine, PublishedBills, TooManyDownloads
from shop_sandbox.payments.formats import CHINA, day_start_ms, format_time, format_yuan
from shop_sandbox.wechat.callers import MOUNT
from shop_sandbox.wechat.errors import Refused, invalid_request, param_error
from shop_sandbox.wechat.fields import query_fields
from shop_sandbox.wechat.keys import MCH_ID, OFFICIAL
from shop_sandbox.wechat.requests import TRADE_TYPES

KINDS = ("ALL", "SUCCESS", "REFUND")
KEPT_DAYS = 92
_START = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,"
    "货币种类,应结订单金额,代金券金额,"
)
_REFUND = "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,"
COLUMNS = {
    "ALL": f"{_START}{_REFUND}商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注",
    "SUCCESS": f"{_START}商品名称,商户数据包,手续费,费率,订单金额,费率备注",
    "REFUND": (
        f"{_START}退款申请时间,退款成功时间,{_REFUND}商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
    ),
}
TOTALS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"


@dataclass(frozen=True, slots=True)
class WechatLine(BillLine):
    """A line with what only WeChat Pay's bills have; `done_ms` is when a refund succeeded, or 0."""

    app_id: str = OFFICIAL
    openid: str = ""
    kind: str = "native"
    attach: str = ""
    refund_id: str = ""
    refund_status: str = "SUCCESS"
    done_ms: int = 0


class Bills:
    """Bills, built from trades and refunds on each request."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self.published = PublishedBills(clock_ms, _stranger, _trade_no)

    async def address(self, request: Request) -> dict[str, object]:
        """The answer of GET /v3/bill/tradebill. Raises Refused."""
        found = query_fields(parse_qsl(request.url.query, keep_blank_values=True))
        for name in found:
            if name not in ("bill_date", "bill_type", "tar_type"):
                raise param_error(f"/{name}", "是接口没有定义的参数", location="query")
        day = self._day(found.get("bill_date", ""))
        kind, packed = found.get("bill_type", "ALL"), found.get("tar_type", "")
        if kind not in KINDS:
            raise param_error("/bill_type", "须为 ALL、SUCCESS 或 REFUND", kind, "query")
        if packed not in ("", "GZIP"):
            raise param_error("/tar_type", "须为 GZIP", packed, "query")
        lines = _of_kind(await self.lines(day), kind)
        if not self.published.is_out(day):
            raise Refused(400, "STATEMENT_CREATING", "账单生成中，请在次日上午10点后再试")
        if not lines:
            raise Refused(400, "NO_STATEMENT_EXIST", "账单文件不存在，请检查当日是否有交易或退款")
        try:
            token = self.published.give_out(f"{day} {kind} {packed}")
        except TooManyDownloads:
            raise Refused(429, "FREQUENCY_LIMITED", "频率超限，请降低请求接口频率") from None
        # The digest is of the bill itself, not of the packed file.
        return {
            "hash_type": "SHA1",
            "hash_value": hashlib.sha1(text(lines, kind), usedforsecurity=False).hexdigest(),
            "download_url": f"{str(request.base_url).rstrip('/')}{MOUNT}/v3/billdownload/file?token={token}",
        }

    async def download(self, token: str) -> bytes:
        """The file behind an address. Raises Refused once the address has expired."""
        day, _, rest = self.published.name_of(token).partition(" ")
        kind, _, packed = rest.partition(" ")
        if not day:
            raise invalid_request("下载地址无效或已过期，请重新申请账单")
        content = await self.file(date.fromisoformat(day), kind)
        return gzip.compress(content) if packed else content

    async def file(self, day: date, kind: str = "ALL") -> bytes:
        """The bill of a day, whether published yet or not."""
        return text(_of_kind(await self.lines(day), kind), kind)

    async def lines(self, day: date) -> list[WechatLine]:
        """The lines of a day, with what was planted."""
        start_ms = day_start_ms(day)
        span = (start_ms, start_ms + 86_400_000)
        trades = (
            "SELECT transaction_id, out_trade_no, description, created_ms, paid_ms, amount_fen, '', NULL,"
            " app_id, openid, kind, attach, '', '', 0 FROM trade WHERE paid_ms >= ? AND paid_ms < ?"
        )
        refunds = (
            "SELECT t.transaction_id, out_trade_no, t.description, t.created_ms, r.created_ms, r.amount_fen,"
            " r.out_refund_no, NULL, t.app_id, t.openid, t.kind, t.attach, r.refund_id, r.status, r.done_ms"
            " FROM refund r JOIN trade t USING (out_trade_no)"
            " WHERE r.created_ms >= ? AND r.created_ms < ? AND r.status <> 'CLOSED'"
        )

        def read(connection: sqlite3.Connection) -> list[WechatLine]:
            rows = [*connection.execute(trades, span), *connection.execute(refunds, span)]
            return sorted((WechatLine(*row) for row in rows), key=lambda one: (one.happened_ms, one.number))

        return self.published.changed(day, await self._database.run(read))

    def _day(self, given: str) -> date:
        try:
            day = date.fromisoformat(given)
        except ValueError:
            raise param_error("/bill_date", "须为 YYYY-MM-DD 格式的日期", given, "query") from None
        today = datetime.fromtimestamp(self._clock_ms() / 1_000, CHINA).date()
        if day > today or (today - day).days > KEPT_DAYS or len(given) != 10:
            raise invalid_request("bill_date 仅支持三个月内的账单下载申请")
        return day


def text(lines: Sequence[WechatLine], kind: str) -> bytes:
    """The bill as a file: UTF-8 with a BOM, lines that end in CR LF."""
    rows = [COLUMNS[kind], *(_row(_values(one, kind)) for one in lines), TOTALS, _row(_totals(lines))]
    return ("\ufeff" + "".join(f"{row}\r\n" for row in rows)).encode()


def _values(one: WechatLine, kind: str) -> tuple[str, ...]:
    amount, is_refund = format_yuan(one.amount_fen), bool(one.request_no)
    start = (
        format_time(one.happened_ms), one.app_id, MCH_ID, "0", "", one.trade_no, one.out_trade_no, one.openid,
        TRADE_TYPES[one.kind], "REFUND" if is_refund else "SUCCESS", "OTHERS", "CNY",
        "0.00" if is_refund else amount, "0.00",
    )  # fmt: skip
    times = (format_time(one.happened_ms), format_time(one.done_ms) if one.done_ms else "")
    refund = (one.refund_id, one.request_no, amount, "0.00", "ORIGINAL", one.refund_status)
    goods = (one.subject, one.attach, _fee(one.fee), "0.60%", "0.00" if is_refund else amount)
    match kind:
        case "SUCCESS":
            return (*start, *goods, "")
        case "REFUND":
            return (*start, *times, *refund, *goods, amount, "")
    return (
        *start,
        *(refund if is_refund else ("0", "0", "0.00", "0.00", "", "")),
        *goods,
        amount if is_refund else "0.00",
        "",
    )


def _totals(lines: Sequence[WechatLine]) -> tuple[str, ...]:
    paid = sum(one.amount_fen for one in lines if not one.request_no)
    refunded = sum(one.amount_fen for one in lines if one.request_no)
    money = tuple(map(format_yuan, (paid, refunded, 0)))
    fees = _fee(sum(one.fee for one in lines))
    return (str(len(lines)), *money, fees, format_yuan(paid), format_yuan(refunded))


def _row(values: Sequence[str]) -> str:
    # Values are never quoted: what separates two of them is a comma and a backtick.
    return ",".join("`" + value.replace("`", " ").replace("\r", " ").replace("\n", " ") for value in values)


def _fee(fen: int) -> str:
    return f"{format_yuan(fen)}000"  # five decimals, of which it uses two


def _of_kind(lines: list[WechatLine], kind: str) -> list[WechatLine]:
    return [one for one in lines if kind == "ALL" or bool(one.request_no) is (kind == "REFUND")]


def _stranger(start_ms: int, fen: int, request_no: str) -> WechatLine:
    return WechatLine(
        _trade_no(start_ms, fen),
        f"STRANGER{fen}",
        "nobody's",
        start_ms + 1_000,
        start_ms + 2_000,
        fen,
        request_no,
        refund_id=f"50300STRANGER{fen}" if request_no else "",
    )


def _trade_no(start_ms: int, digits: int) -> str:
    """A trade number that is the same each time the bill is built."""
    return f"42000{datetime.fromtimestamp(start_ms / 1000, CHINA):%Y%m%d}{digits:015d}"
