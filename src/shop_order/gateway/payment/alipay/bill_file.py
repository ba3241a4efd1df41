"""The file of Alipay's business bill (业务明细): a zip of GBK CSV files, or the details file alone.

Each file is a table with Chinese column names between lines that begin with `#`. Refunds are negative; values
may end with tabs. The last row of the summary file (汇总) holds the totals of all shops.
"""

from __future__ import annotations

import csv
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import IO, Any, TextIO, overload

from shop_order.domain.bill import Bill, BillLine
from shop_order.domain.ports import BillUnusable
from shop_order.domain.valueobject.provider import MOST_FEN
from shop_order.pkg.money import BadAmount, fen_of_yuan

MAX_PACKED = 64 * 1024 * 1024  # bytes
MAX_UNPACKED = 256 * 1024 * 1024
MAX_FILES = 8
MAX_LINES = 500_000
MAX_NOTES = 100
MAX_ROW = 16_384  # characters of a row, which may span lines
MAX_NUMBER = 64  # characters
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, RuntimeError, ValueError)
GBK = "gb18030"  # a superset of GBK

TRADE_NO, PAYMENT_SN, TYPE, FINISHED = "支付宝交易号", "商户订单号", "业务类型", "完成时间"
AMOUNT, RECEIVED, REFUND_SN = "订单金额（元）", "商家实收（元）", "退款批次号/请求号"
TRADES, REFUNDS, ALL = "交易订单总笔数", "退款订单总笔数", "合计"
_DETAILS = (TRADE_NO, PAYMENT_SN, TYPE, FINISHED, AMOUNT, RECEIVED, REFUND_SN)
_SUMMARY = (TRADES, REFUNDS, AMOUNT, RECEIVED)
Line = tuple[str, str, int, bool, str]  # the fields of a BillLine
_ENTRY = b"PK\x01\x02"  # begins each entry of a zip's directory
_IS_REFUND = {"交易": False, "退款": True}
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_ACCOUNT = re.compile(r"#账号：\[(\d+)\]")
_SPAN = re.compile(r"#起始日期：\[([^]]*)\]\s*终止日期：\[([^]]*)\]")
_TOTAL = re.compile(r"#(交易|退款)合计：(\d{1,9})笔，商家实收(?:退款)?共(-?[\d.]+)元", re.ASCII)


class LazyLines(Sequence[BillLine]):
    """Lines of a bill, made on access.

    Half a million objects would make a garbage collection take long; tuples of texts and numbers are not
    tracked by it.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, at: int) -> BillLine: ...
    @overload
    def __getitem__(self, at: slice) -> LazyLines: ...
    def __getitem__(self, at: int | slice) -> BillLine | LazyLines:
        return LazyLines(self._lines[at]) if isinstance(at, slice) else BillLine(*self._lines[at])


class Details:
    """Collects the rows of the details file."""

    required = _DETAILS

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.count = {False: 0, True: 0}  # keyed by is_refund
        self.received_fen = {False: 0, True: 0}
        self.amount_fen = 0

    def add(self, row: Mapping[str, str]) -> None:
        """Add a row. Raises ValueError."""
        if row[TYPE] not in _IS_REFUND:
            raise ValueError(f"{TYPE} {row[TYPE]!r}")
        is_refund = _IS_REFUND[row[TYPE]]
        if not (_TIME.fullmatch(row[FINISHED]) and "2000" < row[FINISHED] < "2101"):
            raise ValueError(f"{FINISHED} {row[FINISHED]!r}")
        datetime.fromisoformat(row[FINISHED])
        fen = signed_fen(row[AMOUNT])
        if not 0 < abs(fen) <= MOST_FEN or (fen < 0) is not is_refund:
            raise ValueError(f"{row[TYPE]} {row[AMOUNT]}")
        for name in (TRADE_NO, PAYMENT_SN, REFUND_SN):
            number = row[name]  # printed to terminals
            if len(number) > MAX_NUMBER or not number.isprintable() or (not number and name != REFUND_SN):
                raise ValueError(f"{name} {number[:MAX_NUMBER]!r}")
        refund_sn = row[REFUND_SN] if is_refund else ""
        self.lines.append((row[PAYMENT_SN], row[TRADE_NO], abs(fen), is_refund, refund_sn))
        received_fen = signed_fen(row[RECEIVED])
        if abs(received_fen) > MOST_FEN:
            raise ValueError(f"{RECEIVED} {row[RECEIVED]}")
        self.count[is_refund] += 1
        self.received_fen[is_refund] += received_fen
        self.amount_fen += fen


class Summary:
    """Collects the totals of all shops from the rows of the summary file."""

    required = _SUMMARY

    def __init__(self) -> None:
        self.totals: tuple[int, int, int, int] | None = None

    def add(self, row: Mapping[str, str]) -> None:
        """Add a row. Raises ValueError."""
        if ALL in row.values():
            counts = (int(row[TRADES]), int(row[REFUNDS]))
            self.totals = (*counts, signed_fen(row[AMOUNT]), signed_fen(row[RECEIVED]))


def bill_of(content: bytes, day: date, seller_id: str) -> Bill:
    """Read the complete bill of a day and account, from a zip or a CSV file. Raises BillUnusable."""
    if len(content) > MAX_PACKED:
        raise BillUnusable(f"the bill is larger than {MAX_PACKED} bytes")
    tables: dict[type, Details | Summary] = {}
    notes: list[str] = []
    try:
        for file in files(content):
            table, notes_of_file = read(file)
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
    return Bill(day, LazyLines(details.lines), sha256(content).hexdigest())


def files(content: bytes) -> Iterator[IO[bytes]]:
    """Yield each file, unpacked as it is read. Raises BillUnusable."""
    if not content.startswith(b"PK"):
        yield io.BytesIO(content)
        return
    if content.count(_ENTRY) > MAX_FILES:  # checked before a huge directory is read
        raise BillUnusable(f"the zip has more than {MAX_FILES} files")
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        left = [MAX_UNPACKED]
        for entry in packed.infolist():
            if entry.is_dir():
                continue
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BillUnusable("the zip uses an unsupported compression")
            with packed.open(entry) as opened:
                yield io.BufferedReader(Bounded(opened, left))


class Bounded(io.RawIOBase):
    """A packed file; `left` bounds the unpacked bytes of all files, since a zip's sizes can't be trusted."""

    def __init__(self, opened: IO[bytes], left: list[int]) -> None:
        self._opened = opened
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._opened.read(len(buffer))
        self._left[0] -= len(found)
        if self._left[0] < 0:
            raise BillUnusable(f"the zip unpacks to more than {MAX_UNPACKED} bytes")
        buffer[: len(found)] = found
        return len(found)


def read(file: IO[bytes]) -> tuple[Details | Summary, list[str]]:
    """Read a file: its table, and the lines around it. Raises BillUnusable, UnicodeDecodeError."""
    table: Details | Summary | None = None
    names: Sequence[str] = ()
    notes: list[str] = []
    ended, number = False, 0
    try:
        for row in rows(io.TextIOWrapper(file, GBK, newline="")):
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
                names, table = values, table_of(values)
            else:
                table.add(dict(zip(names, values, strict=True)))
    except (ValueError, csv.Error) as wrong:
        if isinstance(wrong, UnicodeDecodeError):
            raise
        raise BillUnusable(f"row {number} of the bill can't be read: {wrong}") from wrong
    if table is None or not ended:
        raise BillUnusable("the bill is truncated, or not from Alipay")
    return table, notes


def rows(text: TextIO) -> Iterator[Sequence[str]]:
    """Yield the rows of a CSV file, each of a bounded length. Raises BillUnusable, csv.Error."""
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        while line := text.readline(MAX_ROW):
            length += len(line)
            if length >= MAX_ROW:
                raise BillUnusable(f"the bill has a row of more than {MAX_ROW} characters")
            yield line

    for row in csv.reader(lines()):
        length = 0
        yield row


def table_of(names: Sequence[str]) -> Details | Summary:
    """Return the table with these column names. Raises BillUnusable."""
    table = Details() if TRADE_NO in names else Summary()
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
    if summary.totals != (details.count[False], details.count[True], details.amount_fen, received_fen):
        raise BillUnusable("the bill's summary does not agree with its details")


def signed_fen(yuan: str) -> int:
    """Return the fen of an amount in yuan. Raises ValueError."""
    try:
        fen = fen_of_yuan(yuan.removeprefix("-"))
    except BadAmount as bad:
        raise ValueError(f"{yuan!r} is not an amount") from bad
    return -fen if yuan.startswith("-") else fen
