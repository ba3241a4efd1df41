"""The file of Alipay's business bill (业务明细): a zip of GBK CSV files, or the details file alone.

Each file is a table with Chinese column names between lines that begin with `#`. Refunds are negative; values
may end with tabs. The last row of the summary file (汇总) holds the totals of all shops.
"""

from __future__ import annotations

import csv
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from hashlib import file_digest
from typing import IO

from shop_order.domain.bill import Bill, BillLine
from shop_order.domain.entity.payment import MAX_PAYMENT_FEN
from shop_order.domain.ports import BillUnusable, LinesRead
from shop_order.gateway.payment.bill_files import (
    MAX_LINES,
    MAX_NOTES,
    MAX_PACKED,
    MAX_UNPACKED,
    Bounded,
    check_number,
    disk_lines,
    rows,
    signed_fen,
)

MAX_FILES = 8
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, RuntimeError, ValueError)
GBK = "gb18030"  # a superset of GBK
BLOCK = 1 << 20

TRADE_NO, PAYMENT_SN, TYPE, FINISHED = "支付宝交易号", "商户订单号", "业务类型", "完成时间"
AMOUNT, RECEIVED, REFUND_NO, FEE = "订单金额（元）", "商家实收（元）", "退款批次号/请求号", "服务费（元）"
TRADES, REFUNDS, ALL = "交易订单总笔数", "退款订单总笔数", "合计"
_DETAILS = (TRADE_NO, PAYMENT_SN, TYPE, FINISHED, AMOUNT, RECEIVED, REFUND_NO, FEE)
_SUMMARY = (TRADES, REFUNDS, AMOUNT, RECEIVED, FEE)
_ENTRY = b"PK\x01\x02"  # begins each entry of a zip's directory
_IS_REFUND = {"交易": False, "退款": True}
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_ACCOUNT = re.compile(r"#账号：\[(\d+)\]")
_SPAN = re.compile(r"#起始日期：\[([^]]*)\]\s*终止日期：\[([^]]*)\]")
_TOTAL = re.compile(r"#(交易|退款)合计：(\d{1,9})笔，商家实收(?:退款)?共(-?[\d.]+)元", re.ASCII)


class Details:
    """Collects the rows of the details file."""

    required = _DETAILS

    def __init__(self, read: LinesRead) -> None:
        self.lines = disk_lines(read)
        self.count = {False: 0, True: 0}  # keyed by is_refund
        self.received_fen = {False: 0, True: 0}
        self.amount_fen = 0
        self.fee_fen = 0  # as the bill has it: below 0 for what Alipay took

    def add(self, row: Mapping[str, str]) -> None:
        """Add a row. Raises ValueError."""
        if row[TYPE] not in _IS_REFUND:
            raise ValueError(f"{TYPE} {row[TYPE]!r}")
        is_refund = _IS_REFUND[row[TYPE]]
        if not (_TIME.fullmatch(row[FINISHED]) and "2000" < row[FINISHED] < "2101"):
            raise ValueError(f"{FINISHED} {row[FINISHED]!r}")
        datetime.fromisoformat(row[FINISHED])
        fen = signed_fen(row[AMOUNT])
        if not 0 < abs(fen) <= MAX_PAYMENT_FEN or (fen < 0) is not is_refund:
            raise ValueError(f"{row[TYPE]} {row[AMOUNT]}")
        check_number(TRADE_NO, row[TRADE_NO], required=True)
        check_number(PAYMENT_SN, row[PAYMENT_SN], required=True)
        check_number(REFUND_NO, row[REFUND_NO], required=False)
        out_refund_no = row[REFUND_NO] if is_refund else ""
        fee_fen, received_fen = signed_fen(row[FEE]), signed_fen(row[RECEIVED])
        if abs(fee_fen) > abs(fen) or (fee_fen and (fee_fen > 0) is not is_refund):
            raise ValueError(f"{FEE} {row[FEE]} of {row[AMOUNT]}")
        if abs(received_fen) > abs(fen) or received_fen * fen < 0:
            raise ValueError(f"{RECEIVED} {row[RECEIVED]} of {row[AMOUNT]}")
        line = BillLine(
            row[PAYMENT_SN], row[TRADE_NO], abs(fen), is_refund, out_refund_no, -fee_fen, fen - received_fen
        )
        self.lines.append(line.row())
        self.count[is_refund] += 1
        self.received_fen[is_refund] += received_fen
        self.amount_fen += fen
        self.fee_fen += fee_fen


class Summary:
    """Collects the totals of all shops from the rows of the summary file."""

    required = _SUMMARY

    def __init__(self) -> None:
        self.totals: tuple[int, ...] | None = None

    def add(self, row: Mapping[str, str]) -> None:
        """Add a row. Raises ValueError."""
        if ALL in row.values():
            counts = (int(row[TRADES]), int(row[REFUNDS]))
            self.totals = (*counts, *(signed_fen(row[name]) for name in (AMOUNT, RECEIVED, FEE)))


def bill_of(file: IO[bytes], day: date, seller_id: str, read: LinesRead) -> Bill:
    """Read the complete bill of a day and account, from a zip or a CSV file. Raises BillUnusable."""
    if file.seek(0, os.SEEK_END) > MAX_PACKED:
        raise BillUnusable(f"the bill is larger than {MAX_PACKED} bytes")
    tables: dict[type, Details | Summary] = {}
    notes: list[str] = []
    try:
        for one in files(file):
            table, notes_of_file = read_table(one, read)
            check_head(notes_of_file, day, seller_id)
            if type(table) in tables:
                raise BillUnusable("the bill has two files of the same kind")
            tables[type(table)] = table
            notes += notes_of_file
    except UnicodeDecodeError as other:
        raise BillUnusable("the bill is not GBK text") from other
    except BROKEN as broken:
        raise BillUnusable(f"the zip can't be unpacked: {broken}") from broken
    details, summary = tables.get(Details), tables.get(Summary)
    if not isinstance(details, Details):
        raise BillUnusable("the bill has no details (业务明细)")
    try:
        check_totals(notes, details)
    except ValueError as wrong:
        raise BillUnusable(f"the bill's totals can't be read: {wrong}") from wrong
    if isinstance(summary, Summary):
        check_summary(summary, details)
    elif not any(_TOTAL.match(note) for note in notes):
        raise BillUnusable("the bill has no totals; it may be incomplete")
    file.seek(0)
    return Bill(day, details.lines, file_digest(file, "sha256").hexdigest())  # type: ignore[arg-type]


def files(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield each file, unpacked as it is read. Raises BillUnusable."""
    file.seek(0)
    if file.read(2) != b"PK":
        file.seek(0)
        yield file
        return
    if entries(file) > MAX_FILES:  # checked before a huge directory is read
        raise BillUnusable(f"the zip has more than {MAX_FILES} files")
    with zipfile.ZipFile(file) as packed:
        left = [MAX_UNPACKED]
        for entry in packed.infolist():
            if entry.is_dir():
                continue
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BillUnusable("the zip uses an unsupported compression")
            with packed.open(entry) as opened:
                yield io.BufferedReader(Bounded(opened, left))


def entries(file: IO[bytes]) -> int:
    """Return how many entries the directory of a zip can have."""
    found, end = 0, b""
    file.seek(0)
    while block := file.read(BLOCK):
        found += (end + block).count(_ENTRY)
        end = block[1 - len(_ENTRY) :]
    return found


def read_table(file: IO[bytes], read: LinesRead) -> tuple[Details | Summary, list[str]]:
    """Read a file: its table, and the lines around it. Raises BillUnusable, UnicodeDecodeError."""
    table: Details | Summary | None = None
    names: Sequence[str] = ()
    notes: list[str] = []
    ended, number = False, 0
    text = io.TextIOWrapper(file, GBK, newline="")
    try:
        for row in rows(text):
            values = [value.strip() for value in row]
            number += 1
            if number > MAX_LINES or len(notes) > MAX_NOTES:
                raise BillUnusable(f"the bill has more than {MAX_LINES} rows")
            if not any(values):
                continue
            if values[0].startswith("#"):
                notes.append(",".join(values))
                ended = ended or "列表结束" in values[0]
            elif ended:
                raise BillUnusable("the bill has rows after its end")
            elif table is None:
                names, table = values, table_of(values, read)
            else:
                table.add(dict(zip(names, values, strict=True)))
    except (ValueError, csv.Error) as wrong:
        if isinstance(wrong, UnicodeDecodeError):
            raise
        raise BillUnusable(f"row {number} of the bill can't be read: {wrong}") from wrong
    if table is None or not ended:
        raise BillUnusable("the bill is truncated, or not from Alipay")
    text.detach()  # the file stays open: its digest is still wanted
    return table, notes


def table_of(names: Sequence[str], read: LinesRead) -> Details | Summary:
    """Return the table with these column names. Raises BillUnusable."""
    table = Details(read) if TRADE_NO in names else Summary()
    if missing := [name for name in table.required if name not in names]:
        raise BillUnusable(f"the bill has no column {', '.join(missing)}")
    if len(set(names)) != len(names):
        raise BillUnusable("the bill has a duplicate column")
    return table


def check_head(notes: Sequence[str], day: date, seller_id: str) -> None:
    """Check account and day. Raises BillUnusable."""
    text = "\n".join(notes)
    account, span = _ACCOUNT.search(text), _SPAN.search(text)
    if account is None or not account[1].startswith(seller_id):
        raise BillUnusable(f"the bill is not of account {seller_id}")
    begin, end = (f"{one:%Y年%m月%d日} 00:00:00" for one in (day, day + timedelta(days=1)))
    if span is None or span.groups() not in ((begin, end), (begin, f"{day:%Y年%m月%d日} 23:59:59")):
        raise BillUnusable(f"the bill is not of {day}, or not of this day alone")


def check_totals(notes: Sequence[str], details: Details) -> None:
    """Check the details against the totals below them. Raises BillUnusable."""
    for note in notes:
        if match := _TOTAL.match(note):
            is_refund = _IS_REFUND[match[1]]
            stated = (int(match[2]), signed_fen(match[3]))
            counted = (details.count[is_refund], details.received_fen[is_refund])
            if stated != counted:
                raise BillUnusable(f"the bill says {match[0].lstrip('#')}, it has {counted[0]} rows")


def check_summary(summary: Summary, details: Details) -> None:
    """Check the details against the summary. Raises BillUnusable."""
    received_fen = sum(details.received_fen.values())
    counts = (details.count[False], details.count[True])
    if summary.totals != (*counts, details.amount_fen, received_fen, details.fee_fen):
        raise BillUnusable("the bill's summary does not agree with its details")
