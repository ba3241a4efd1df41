"""Alipay's bill as it comes, and as nobody should have sent it: whole and right, or one clear error."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from shop_order.domain.bill import BillLine
from shop_order.domain.ports import BillUnusable
from shop_order.gateway.payment.alipay import bill_file
from shop_order.gateway.payment.alipay.bills import HOSTS
from shop_order.gateway.payment.bill_files import checked_url
from tests.world.bills import alipay_bill

DAY = date(2026, 11, 21)
SELLER = "2088000000000001"
FOLDER = Path(__file__).parent / "bill"
DETAILS, SUMMARY = ((FOLDER / name).read_bytes().decode("gbk") for name in ("details.csv", "summary.csv"))
APPLE = "2026112122001476831405273118"
GATEWAY = "http://127.0.0.1:8090/alipay/gateway.do"
Change = Callable[[str], str]


def packed(*texts: str | bytes, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of them."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", how) as archive:
        for number, text in enumerate(texts):
            archive.writestr(f"{number}.csv", text if isinstance(text, bytes) else text.encode("gbk"))
    return target.getvalue()


def swapped(old: str, new: str) -> Change:
    """The text with something else in it; what was there must have been."""

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


@pytest.mark.parametrize(
    "content", [packed(DETAILS, SUMMARY), packed(SUMMARY, DETAILS), DETAILS.encode("gbk"), packed(DETAILS)]
)
def test_a_bill_is_read_from_the_zip_or_from_its_details(content: bytes) -> None:
    bill = alipay_bill(content, DAY, SELLER)
    assert list(bill.lines) == [
        BillLine("P261121093012804155293716604", APPLE, 3998, fee_fen=24),
        BillLine(
            "P261121101544193307726150851",
            "2026112122001476831405280042",
            100_000_00,
            fee_fen=599_94,
            discount_fen=10_00,
        ),
        BillLine(
            "P261120220101557019348826638",
            "2026112022001476831405199907",
            1,
            True,
            "R261121110159334218870045127",
        ),
        BillLine("P261121093012804155293716604", APPLE, 1999, True, "R261121235950071163902284459", -12),
    ]
    assert (bill.day, len(bill.digest)) == (DAY, 64)


HOSTILE: dict[str, tuple[Change, str]] = {
    "negative trade": (swapped("39.98\t,39.98", "-39.98\t,-39.98"), "交易 -39.98"),
    "positive refund": (swapped("-19.99\t,-19.99", "19.99\t,19.99"), "退款 19.99"),
    "nothing": (swapped("39.98\t,39.98", "0.00\t,0.00"), "交易 0.00"),
    "exponent": (swapped("39.98\t,39.98", "4e1\t,4e1"), "not an amount"),
    "three decimals": (swapped("39.98\t,39.98", "39.981\t,39.98"), "not an amount"),
    "another type": (swapped("退款\t", "转账\t"), "转账"),
    "no time": (swapped("2026-11-21 09:31:02", "yesterday"), "yesterday"),
    "no day": (swapped("2026-11-21 09:31:02", "2026-02-30 09:31:02"), "row"),
    "before this century": (swapped("2026-11-21 09:31:02", "1999-12-31 23:59:59"), "1999"),
    "after it": (swapped("2026-11-21 09:31:02", "2101-01-01 00:00:00"), "2101"),
    "more received than was paid": (swapped("39.98\t,39.98", "39.98\t,39.99"), "商家实收"),
    "received with another sign": (swapped("39.98\t,39.98", "39.98\t,-0.01"), "商家实收"),
    "a fee above the amount": (swapped("-0.24", "-39.99"), "服务费"),
    "a fee that is paid to us": (swapped("-0.24", "0.24"), "服务费"),
    "a fee that is none": (swapped("-0.24", "a"), "not an amount"),
    "a sum that is none": (swapped("实收共100029.98元", "实收共1.0.0元"), "totals"),
    "a sum beyond counting": (swapped("实收共100029.98元", f"实收共{'9' * 5000}元"), "totals"),
    "a count beyond counting": (swapped("合计：2笔", f"合计：{'9' * 5000}笔"), "no totals"),
    "no number": (swapped("P261121101544193307726150851", ""), "商户订单号"),
    "long number": (swapped("P261121101544193307726150851", "P" * 65), "商户订单号"),
    "missing column": (swapped("完成时间", "某时间"), "完成时间"),
    "column twice": (swapped("门店名称", "完成时间"), "duplicate"),
    "two headers": (
        lambda text: text.replace("\r\n20261121", "\r\n" + text.splitlines()[4] + "\r\n20261121", 1),
        "row",
    ),
    "a value too many": (swapped("不要了\t", "不要了\t,\t"), "row"),
    "a row is gone": (lambda text: "\r\n".join(t for t in text.split("\r\n") if "405280042" not in t), "2笔"),
    "amount altered": (swapped("39.98\t,39.98", "39.97\t,39.97"), "交易合计"),
    "cut off": (lambda text: text[: text.index("#---", 400)], "truncated"),
    "rows after the end": (lambda text: text + "1,2,3\r\n", "after its end"),
    "no totals": (swapped("合计：", "："), "no totals"),
    "another day": (swapped("起始日期：[2026年11月21日", "起始日期：[2026年11月20日"), "2026-11-21"),
    "another account": (swapped("2088000000000001", "2088000000000002"), SELLER),
    "a month": (swapped("终止日期：[2026年11月22日", "终止日期：[2026年12月22日"), "this day alone"),
    "an escape": (swapped("P261121101544193307726150851", "P26\x1b[2J"), "商户订单号"),
    "more than anybody takes": (swapped("39.98\t,39.98", "100000000.01\t,39.98"), "row"),
    "a row without end": (lambda text: text + "," * 20_000, "row of more than"),
    "a row of many lines": (lambda text: text + '"a\n",' * 5_000, "row of more than"),
    "empty": (lambda text: "", "truncated"),
    "a page that says no": (lambda text: "<html>login</html>", "column"),
    "a table of another kind": (lambda text: "a,b\r\n1,2\r\n", "no column"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_a_whole_bill_is_refused(name: str) -> None:
    change, why = HOSTILE[name]
    with pytest.raises(BillUnusable, match=why):
        alipay_bill(change(DETAILS).encode("gbk"), DAY, SELLER)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (DETAILS.encode("utf-8"), "GBK|column|truncated"),
        (DETAILS.encode("gbk")[:900] + b"\xff\xff" + DETAILS.encode("gbk")[900:], "GBK"),
        (DETAILS.replace("P261121101544193307726150851", "P26\u202e1").encode("gb18030"), "商户订单号"),
        (packed(SUMMARY), "no details"),
        (packed(DETAILS, DETAILS), "two files"),
        (packed(*[DETAILS] * 9), "more than 8 files"),
        (packed(DETAILS, SUMMARY)[:-30], "unpacked"),
        (packed(DETAILS, how=zipfile.ZIP_LZMA), "compression"),
        (packed(DETAILS, how=zipfile.ZIP_BZIP2), "compression"),
        (packed(DETAILS, SUMMARY.replace("合计\t,\t,2\t", "合计\t,\t,3\t")), "summary"),
        (packed(DETAILS, SUMMARY.replace("100019.98", "100019.97")), "summary"),
        (packed(DETAILS, SUMMARY.replace("合计", "小计")), "summary"),
        (packed(DETAILS, SUMMARY.replace("-600.06", "-600.05")), "summary"),
        (packed(), "no details"),
        (b"", "truncated"),
    ],
)
def test_a_file_that_is_none_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(BillUnusable, match=why):
        alipay_bill(content, DAY, SELLER)


def test_a_damaged_zip_is_refused() -> None:
    content = bytearray(packed(DETAILS, SUMMARY))
    content[300] ^= 0xFF
    with pytest.raises(BillUnusable):
        alipay_bill(bytes(content), DAY, SELLER)


def test_a_directory_of_many_files_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(BillUnusable, match="more than 8 files"):
        alipay_bill(b"PK" + b"PK\x01\x02" * 9, DAY, SELLER)


def test_what_a_bill_says_is_told_without_its_escapes() -> None:
    text = DETAILS.replace("#交易合计：2笔", "#交易合计：3笔").replace("商家优惠共", "\x1b[2J")
    assert "\x1b" in text
    with pytest.raises(BillUnusable, match="交易合计：3笔") as refused:
        alipay_bill(text.encode("gbk"), DAY, SELLER)
    assert "\x1b" not in str(refused.value)


def test_lines_are_a_sequence() -> None:
    lines = alipay_bill(DETAILS.encode("gbk"), DAY, SELLER).lines
    assert [one.out_refund_no for one in lines[2:]] == [one.out_refund_no for one in lines if one.is_refund]
    assert lines[-1] == list(lines)[-1]


def test_a_zip_bomb_goes_off_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill_file, "MAX_UNPACKED", 1_000_000)
    line = ",\r\n".encode("gbk")
    with pytest.raises(BillUnusable, match="unpacks to more than"):
        alipay_bill(packed(DETAILS.encode("gbk") + line * 1_000_000), DAY, SELLER)
    with pytest.raises(BillUnusable, match="unpacks to more than"):
        alipay_bill(
            packed(*(text.encode("gbk") + line * 200_000 for text in (DETAILS, SUMMARY))), DAY, SELLER
        )


def test_a_bill_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bill_file, "MAX_LINES", 8)
    with pytest.raises(BillUnusable, match="more than 8 rows"):
        alipay_bill(DETAILS.encode("gbk"), DAY, SELLER)
    monkeypatch.setattr(bill_file, "MAX_PACKED", 100)
    with pytest.raises(BillUnusable, match="larger than 100 bytes"):
        alipay_bill(DETAILS.encode("gbk"), DAY, SELLER)


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("https://dwbillcenter.alipay.com/f?fileId=1", "https://dwbillcenter.alipay.com/f?fileId=1"),
        ("http://dwbillcenter.alipay.com/f?fileId=1", "https://dwbillcenter.alipay.com/f?fileId=1"),
        ("http://127.0.0.1:8090/alipay/bill?fileId=1", "http://127.0.0.1:8090/alipay/bill?fileId=1"),
        ("http://127.0.0.1:8091/alipay/bill?fileId=1", None),
        ("https://127.0.0.1:8090/alipay/bill", None),
        ("https://alipay.com.example/f", None),
        ("https://evilalipay.com/f", None),
        ("https://dwbillcenter.alipay.com:8443/f", None),
        ("https://dwbillcenter.alipay.com@example.com/f", None),
        ("file:///etc/passwd", None),
        ("http://[", None),
    ],
)
def test_only_the_providers_own_hosts_are_followed(address: str, asked: str | None) -> None:
    if asked is None:
        with pytest.raises(BillUnusable):
            checked_url(address, GATEWAY, HOSTS)
    else:
        assert checked_url(address, GATEWAY, HOSTS) == asked
