"""The file of WeChat Pay's trade bill (交易账单, bill_type ALL): UTF-8, perhaps packed by gzip.

A line of names, one line for each payment and refund, then the names of the totals and the totals. Before
each value stands a backtick, and a comma and a backtick between two: no value is quoted, and one may contain
commas.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import IO, Any, cast

from shop_order.domain.bill import Bill, BillLine, LineState
from shop_order.domain.entity.payment import MAX_PAYMENT_FEN
from shop_order.domain.ports import BillUnusable, LinesRead
from shop_order.gateway.payment.bill_files import (
    MAX_LINES,
    MAX_PACKED,
    MAX_ROW,
    MAX_UNPACKED,
    Bounded,
    check_number,
    disk_lines,
    signed_fen,
)

BROKEN = (EOFError, OSError, zlib.error, UnicodeDecodeError)
TIME, MCH_ID, TRADE_NO, PAYMENT_SN = "交易时间", "商户号", "微信订单号", "商户订单号"
STATE, CURRENCY, FEE = "交易状态", "货币种类", "手续费"
AMOUNT, RECEIVED = "订单金额", "应结订单金额"
REFUND_ID, REFUND_NO, REFUND_STATE = "微信退款单号", "商户退款单号", "退款状态"
REFUND_AMOUNT, GIVEN_BACK = "申请退款金额", "退款金额"
COLUMNS = (
    TIME, MCH_ID, TRADE_NO, PAYMENT_SN, STATE, CURRENCY, FEE, AMOUNT, RECEIVED, REFUND_ID, REFUND_NO,
    REFUND_STATE, REFUND_AMOUNT, GIVEN_BACK,
)  # fmt: skip
COUNT = "总交易单数"
# The column of each total.
TOTALS = {
    "订单总金额": AMOUNT,
    "应结订单总金额": RECEIVED,
    "申请退款总金额": REFUND_AMOUNT,
    "退款总金额": GIVEN_BACK,
    "手续费总金额": FEE,
}
_REFUNDS = {"SUCCESS": False, "REFUND": True, "REVOKED": True}  # by the state of the trade
_STATES = {"SUCCESS": LineState.DONE, "PROCESSING": LineState.OPEN}  # of a refund; any other did not succeed
_FEE = re.compile(r"(-?)(\d{1,10})(?:\.(\d{1,5}))?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_FEE_UNITS = 1000  # of a fee's five decimals in a fen
_GZIP = b"\x1f\x8b"
_BETWEEN = ",`"


class Unpacked(Bounded):
    """The bill itself, with its digest; WeChat states that of the unpacked file."""

    def __init__(self, opened: IO[bytes]) -> None:
        super().__init__(opened, [MAX_UNPACKED])
        self.sha1 = hashlib.sha1(usedforsecurity=False)

    def readinto(self, buffer: Any) -> int:
        found = super().readinto(buffer)
        self.sha1.update(buffer[:found])
        return found


class Lines:
    """Collects the lines of the bill."""

    def __init__(self, day: date, mch_id: str, read: LinesRead) -> None:
        self.lines = disk_lines(read)
        self.sums = dict.fromkeys(TOTALS.values(), 0)  # in fen; the fee's in its own units
        self.count = 0
        self.seen = 0  # lines of the file, for messages
        self._day = day.isoformat()
        self._mch_id = mch_id

    def add(self, row: Mapping[str, str]) -> None:
        """Add a row. Raises ValueError."""
        if row[MCH_ID] != self._mch_id:
            raise ValueError(f"{MCH_ID} {row[MCH_ID][:20]!r}")
        if (is_refund := _REFUNDS.get(row[STATE])) is None:
            raise ValueError(f"{STATE} {row[STATE][:20]!r}")
        self._check_time(row[TIME], is_refund=is_refund)
        amounts = {name: signed_fen(row[name]) for name in (AMOUNT, RECEIVED, REFUND_AMOUNT, GIVEN_BACK)}
        self.lines.append(_line(row, amounts, is_refund=is_refund).row())
        for name, fen in amounts.items():
            self.sums[name] += fen
        self.sums[FEE] += fee_units(row[FEE])
        self.count += 1

    def _check_time(self, time: str, *, is_refund: bool) -> None:
        if not (_TIME.fullmatch(time) and "2000" < time < "2101"):
            raise ValueError(f"{TIME} {time[:30]!r}")
        datetime.fromisoformat(time)
        if not is_refund and not time.startswith(self._day):
            raise ValueError(f"{TIME} {time}: not of {self._day}")

    def check(self, totals: Mapping[str, str]) -> None:
        """Check the lines against the totals below them. Raises ValueError, BillUnusable."""
        if int(totals[COUNT]) != self.count:
            raise BillUnusable(f"the bill says {totals[COUNT]} lines, it has {self.count}")
        for name, column in TOTALS.items():
            stated = fee_units(totals[name]) if column == FEE else signed_fen(totals[name])
            if stated != self.sums[column]:
                raise BillUnusable(f"the bill's {name} does not agree with its lines")


def _line(row: Mapping[str, str], amounts: Mapping[str, int], *, is_refund: bool) -> BillLine:
    fen, received_fen = (
        (amounts[REFUND_AMOUNT], amounts[GIVEN_BACK]) if is_refund else (amounts[AMOUNT], amounts[RECEIVED])
    )
    if not 0 < fen <= MAX_PAYMENT_FEN or not 0 <= received_fen <= fen:
        raise ValueError(f"an amount of {fen} fen, of which {received_fen} are ours")
    fee_fen = rounded_fee(fee_units(row[FEE]))
    if abs(fee_fen) > fen or (fee_fen and (fee_fen < 0) is not is_refund):
        raise ValueError(f"{FEE} {row[FEE]}")
    refund_no = (row[REFUND_NO].strip("0") and row[REFUND_NO]) or row[REFUND_ID] if is_refund else ""
    for name, number in ((TRADE_NO, row[TRADE_NO]), (PAYMENT_SN, row[PAYMENT_SN])):
        check_number(name, number, required=True)
    check_number(REFUND_NO, refund_no, required=is_refund)
    check_number(CURRENCY, row[CURRENCY], required=True)
    discount_fen = fen - received_fen
    state = _STATES.get(row[REFUND_STATE], LineState.FAILED) if is_refund else LineState.DONE
    return BillLine(
        row[PAYMENT_SN],
        row[TRADE_NO],
        fen,
        is_refund,
        refund_no,
        fee_fen,
        -discount_fen if is_refund else discount_fen,
        state,
        row[CURRENCY],
    )


def bill_of(file: IO[bytes], day: date, mch_id: str, read: LinesRead, sha1: str = "") -> Bill:
    """Read the complete bill of a day and merchant; `sha1` is the digest that WeChat states of it.

    Raises BillUnusable.
    """
    if file.seek(0, os.SEEK_END) > MAX_PACKED:
        raise BillUnusable(f"the bill is larger than {MAX_PACKED} bytes")
    file.seek(0)
    is_packed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    lines = Lines(day, mch_id, read)
    try:
        unpacked = Unpacked(cast(IO[bytes], gzip.GzipFile(fileobj=file)) if is_packed else file)
        read_lines(io.BufferedReader(unpacked), lines)
    except BROKEN as broken:
        raise BillUnusable(f"the bill can't be unpacked, or is not UTF-8: {broken}") from broken
    digest = unpacked.sha1.hexdigest()
    if sha1 and digest != sha1.lower():
        raise BillUnusable("the bill was changed on its way: its SHA-1 is another")
    file.seek(0)
    return Bill(day, lines.lines, hashlib.file_digest(file, "sha256").hexdigest())  # type: ignore[arg-type]


def read_lines(file: IO[bytes], lines: Lines) -> None:
    """Read all lines and check them against the totals. Raises BillUnusable, and what broken files raise."""
    names: tuple[str, ...] = ()
    total_names: tuple[str, ...] = ()
    totals: dict[str, str] = {}
    try:
        for line in texts(io.TextIOWrapper(file, "utf-8-sig", newline="\n")):
            lines.seen += 1
            if totals or (total_names and not line.startswith("`")):
                raise BillUnusable("the bill has lines after its totals")
            if line.startswith("`"):
                values = [value.strip() for value in line[1:].split(_BETWEEN)]
                if total_names:
                    totals = dict(zip(total_names, values, strict=True))
                else:
                    lines.add(dict(zip(names, values, strict=True)))
            elif names:
                total_names = names_of(line, (COUNT, *TOTALS))
            else:
                names = names_of(line, COLUMNS)
        if not totals:
            raise BillUnusable("the bill has no totals: it is truncated, or not from WeChat Pay")
        lines.check(totals)
    except UnicodeDecodeError:
        raise
    except ValueError as wrong:
        raise BillUnusable(f"row {lines.seen} of the bill can't be read: {wrong}") from wrong


def texts(file: io.TextIOWrapper) -> Iterator[str]:
    """Yield the lines that are not empty, each of a bounded length. Raises BillUnusable."""
    for number in range(1, MAX_LINES + 1):
        if not (line := file.readline(MAX_ROW)):
            return
        if len(line) >= MAX_ROW:
            raise BillUnusable(f"row {number} of the bill has more than {MAX_ROW} characters")
        if text := line.rstrip("\r\n"):
            yield text
    raise BillUnusable(f"the bill has more than {MAX_LINES} rows")


def names_of(line: str, required: Sequence[str]) -> tuple[str, ...]:
    """Return the names of columns. Raises BillUnusable."""
    names = tuple(name.strip() for name in line.split(","))
    if missing := [name for name in required if name not in names]:
        raise BillUnusable(f"the bill has no column {', '.join(missing)}")
    if len(set(names)) != len(names):
        raise BillUnusable("the bill has a duplicate column")
    return names


def fee_units(yuan: str) -> int:
    """Return a fee in units of its fifth decimal, a thousandth of a fen. Raises ValueError."""
    if not (found := _FEE.fullmatch(yuan)):
        raise ValueError(f"{FEE} {yuan[:20]!r}")
    units = int(found[2]) * 100_000 + int((found[3] or "").ljust(5, "0"))
    return -units if found[1] else units


def rounded_fee(units: int) -> int:
    """Return the fee that WeChat takes, in fen: half a fen is one."""
    fen = (abs(units) + _FEE_UNITS // 2) // _FEE_UNITS
    return -fen if units < 0 else fen
