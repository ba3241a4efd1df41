"""WeChat Pay's bill as it comes, and as nobody should have sent it: whole and right, or one clear error."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from shop_order.domain.bill import Bill, BillLine, LineState
from shop_order.domain.ports import BillUnusable
from shop_order.gateway.payment.bill_files import MAX_ROW, checked_url
from shop_order.gateway.payment.wechat import bill_file
from shop_order.gateway.payment.wechat.bill_file import bill_of, fee_units, rounded_fee
from shop_order.gateway.payment.wechat.bills import HOSTS

DAY = date(2026, 11, 21)
MCH_ID = "1900000109"
NAMES = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
TOTALS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
PAID = dict(
    zip(
        NAMES.split(","),
        f"2026-11-21 17:07:11|wx81be3101902f7cb2|{MCH_ID}|0||4200000925202611219|P261121093012804155293716604"
        "|ofyak5qR_1wYsC99CsWA6R9MJazA|NATIVE|SUCCESS|OTHERS|CNY|19.99|0.00|0|0|0.00|0.00|||苹果, 梨 “等”|"
        "|0.12000|0.60%|19.99|0.00|".split("|"),
        strict=True,
    )
)
VOUCHER = PAID | {"商户订单号": "P2", "微信订单号": "42002", "应结订单金额": "9.99", "手续费": "0.06000"}
REFUND = PAID | {
    "交易时间": "2026-11-22 00:00:01",
    "交易状态": "REFUND",
    "应结订单金额": "0.00",
    "微信退款单号": "503",
    "商户退款单号": "R1",
    "退款金额": "5.00",
    "退款类型": "ORIGINAL",
    "退款状态": "SUCCESS",
    "手续费": "-0.03000",
    "订单金额": "0.00",
    "申请退款金额": "6.00",
}
Row = dict[str, str]


def totals(rows: Sequence[Row]) -> Row:
    """The totals of these rows."""

    def fen(name: str) -> str:
        found = sum(round(float(row[name]) * 100) for row in rows)
        return f"{found / 100:.2f}"

    fee = sum(round(float(row["手续费"]) * 100_000) for row in rows)
    return {
        "总交易单数": str(len(rows)), "应结订单总金额": fen("应结订单金额"), "退款总金额": fen("退款金额"),
        "充值券退款总金额": "0.00", "手续费总金额": f"{fee / 100_000:.5f}", "订单总金额": fen("订单金额"),
        "申请退款总金额": fen("申请退款金额"),
    }  # fmt: skip


def line(row: Row) -> str:
    return ",".join(f"`{value}" for value in row.values())


def text(*rows: Row, **changed: str) -> str:
    """A bill; `changed` totals."""
    return "\r\n".join(["\ufeff" + NAMES, *map(line, rows), TOTALS, line(totals(rows) | changed), ""])


def read(content: str | bytes, **more: Any) -> Bill:
    raw = content if isinstance(content, bytes) else content.encode()
    return bill_of(io.BytesIO(raw), DAY, MCH_ID, lambda _: None, **more)


def why(content: str | bytes, **more: Any) -> str:
    with pytest.raises(BillUnusable) as refused:
        read(content, **more)
    return str(refused.value)


@pytest.mark.parametrize("packing", [bytes, gzip.compress])
def test_a_bill_is_read_packed_or_not(packing: Any) -> None:
    raw = text(PAID, VOUCHER, REFUND).encode()
    sha1 = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    bill = read(packing(raw), sha1=sha1)
    sn, trade_no = PAID["商户订单号"], PAID["微信订单号"]
    assert list(bill.lines) == [
        BillLine(sn, trade_no, 1999, fee_fen=12),
        BillLine("P2", "42002", 1999, fee_fen=6, discount_fen=1000),
        BillLine(sn, trade_no, 600, is_refund=True, out_refund_no="R1", fee_fen=-3, discount_fen=-100),
    ]
    assert bill.digest == hashlib.sha256(packing(raw)).hexdigest()


def test_a_bill_as_wechat_prints_it_without_mark_and_with_line_feeds() -> None:
    assert len(read(text(PAID).removeprefix("\ufeff").replace("\r\n", "\n")).lines) == 1


def test_a_bill_without_lines_has_totals_only() -> None:
    assert not read(text()).lines


@pytest.mark.parametrize(
    ("changed", "state", "number"),
    [
        ({"退款状态": "SUCCESS"}, LineState.DONE, "R1"),
        ({"退款状态": "PROCESSING"}, LineState.OPEN, "R1"),
        ({"退款状态": "FAIL"}, LineState.FAILED, "R1"),
        ({"退款状态": "ABNORMAL"}, LineState.FAILED, "R1"),
        ({"商户退款单号": "0"}, LineState.DONE, "503"),  # refunded on WeChat's site
        ({"商户退款单号": ""}, LineState.DONE, "503"),
        ({"交易状态": "REVOKED"}, LineState.DONE, "R1"),
    ],
)
def test_each_refund_has_its_state_and_number(changed: Row, state: LineState, number: str) -> None:
    [found] = read(text(REFUND | changed)).lines
    assert (found.is_refund, found.state, found.out_refund_no) == (True, state, number)


def test_another_currency_is_told() -> None:
    [found] = read(text(PAID | {"货币种类": "HKD"})).lines
    assert found.currency == "HKD"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"商户号": "1900000001"}, "商户号"),
        ({"交易状态": "NOTPAY"}, "交易状态"),
        ({"交易时间": "2026-11-20 23:59:59"}, "not of 2026-11-21"),
        ({"交易时间": "1999-11-21 00:00:00"}, "交易时间"),
        ({"交易时间": "2026-11-21"}, "交易时间"),
        ({"交易时间": "2026-11-21 25:00:00"}, "hour must be"),
        ({"订单金额": "0.00"}, "an amount of 0 fen"),
        ({"订单金额": "1e2"}, "is not an amount"),
        ({"订单金额": "-19.99"}, "an amount of"),
        ({"订单金额": "100000000.01", "应结订单金额": "0.00"}, "an amount of"),
        ({"应结订单金额": "20.00"}, "of which 2000 are ours"),
        ({"手续费": "-0.12"}, "手续费"),
        ({"手续费": "20.00"}, "手续费"),
        ({"手续费": "0.123456"}, "手续费"),
        ({"微信订单号": ""}, "微信订单号"),
        ({"商户订单号": "P" * 65}, "商户订单号"),
        ({"商户订单号": "P\x1b[2J"}, "商户订单号"),
        ({"货币种类": ""}, "货币种类"),
    ],
)
def test_a_row_that_can_not_be_is_refused_by_its_number(changed: Row, says: str) -> None:
    rows = [PAID, PAID | changed]
    good = totals([PAID, PAID])
    content = "\n".join([NAMES, *map(line, rows), TOTALS, line(good), ""])
    assert "row 3 of the bill can't be read" in why(content)
    assert says in why(content)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"总交易单数": "2"}, "the bill says 2 lines, it has 1"),
        ({"订单总金额": "19.98"}, "订单总金额 does not agree"),
        ({"应结订单总金额": "19.98"}, "应结订单总金额 does not agree"),
        ({"申请退款总金额": "0.01"}, "申请退款总金额 does not agree"),
        ({"退款总金额": "0.01"}, "退款总金额 does not agree"),
        ({"手续费总金额": "0.12001"}, "手续费总金额 does not agree"),
        ({"订单总金额": "?"}, "can't be read"),
        ({"总交易单数": "one"}, "can't be read"),
    ],
)
def test_totals_that_do_not_agree_are_refused(changed: Row, says: str) -> None:
    assert says in why(text(PAID, **changed))


def test_a_bill_that_is_cut_anywhere_is_refused() -> None:
    whole = text(PAID, REFUND).encode()
    for end in range(len(whole) - len("6.00\r\n")):  # "6" and "6.0" are what the last total says, too
        assert why(whole[:end])
    packed = gzip.compress(whole)
    for end in range(0, len(packed), 5):
        assert why(packed[:end])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (text(PAID).encode("gbk", "ignore"), "not UTF-8"),
        (b"PK\x03\x04", "no column"),
        (text(PAID) + line(PAID), "lines after its totals"),
        (text(PAID) + text(PAID), "lines after its totals"),
        (text(PAID).replace("微信订单号,", ""), "no column 微信订单号"),
        (text(PAID).replace("设备号,", "商户号,"), "a duplicate column"),
        (text(PAID).replace("手续费总金额", "手续费合计"), "no column 手续费总金额"),
        (text(PAID).replace("`0.60%,", ""), "row 2 of the bill can't be read"),
        (line(PAID), "row 1 of the bill can't be read"),
        (text(PAID | {"商品名称": "x" * MAX_ROW}), f"more than {MAX_ROW} characters"),
    ],
)
def test_what_is_no_bill_is_refused(content: str | bytes, says: str) -> None:
    assert says in why(content)


def test_a_changed_bill_is_refused_by_its_digest() -> None:
    raw = text(PAID).encode()
    other = hashlib.sha1(raw + b"\n", usedforsecurity=False).hexdigest()
    assert "SHA-1" in why(raw, sha1=other)
    assert "SHA-1" in why(gzip.compress(raw), sha1=hashlib.sha1(gzip.compress(raw)).hexdigest())
    assert read(raw, sha1=hashlib.sha1(raw, usedforsecurity=False).hexdigest().upper()).lines


def test_a_bill_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill_file, "MAX_LINES", 3)
    assert "more than 3 rows" in why(text(PAID))
    monkeypatch.undo()
    monkeypatch.setattr(bill_file, "MAX_UNPACKED", 1000)
    assert "unpacks to more than" in why(gzip.compress(text(*[PAID] * 100).encode()))
    monkeypatch.undo()
    monkeypatch.setattr(bill_file, "MAX_PACKED", 10)
    assert "larger than 10 bytes" in why(text(PAID))


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [
        ("0.00000", 0), ("0.00499", 0), ("0.00500", 1), ("0.01499", 1), ("7.79000", 779), ("-0.00500", -1),
        ("-0.06", -6), ("1", 100),
    ],
)  # fmt: skip
def test_a_fee_is_rounded_to_a_fen(yuan: str, fen: int) -> None:
    assert rounded_fee(fee_units(yuan)) == fen


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("https://api.mch.weixin.qq.com/v3/billdownload/file?token=1", True),
        ("https://api2.mch.weixin.qq.com/v3/billdownload/file?token=1", True),
        ("https://api.mch.weixin.qq.com.example/v3/billdownload/file", False),
        ("https://evil-mch.weixin.qq.com.example/", False),
        ("https://example.com/mch.weixin.qq.com", False),
        ("https://mch.weixin.qq.com@example.com/f", False),
    ],
)
def test_our_signature_goes_to_wechats_hosts_only(address: str, asked: bool) -> None:
    gateway = "https://api.mch.weixin.qq.com"
    if asked:
        assert checked_url(address, gateway, HOSTS) == address
    else:
        with pytest.raises(BillUnusable):
            checked_url(address, gateway, HOSTS)
