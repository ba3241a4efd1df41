"""What Alipay says of a trade, in notices as in answers: amounts and times within bounds, or a mismatch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from shop_order.domain.errors import AmountMismatch
from shop_order.domain.ports import Trade
from shop_order.domain.valueobject.provider import provider_fen, provider_ms, trade_number
from shop_order.pkg.money import BadAmount, fen_of_yuan

GMT8 = timezone(timedelta(hours=8))
PAID = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
TIMES = (
    "notify_time", "gmt_create", "gmt_payment", "gmt_refund", "gmt_close", "send_pay_date", "gmt_refund_pay",
)  # fmt: skip
AMOUNTS = (
    "total_amount", "receipt_amount", "invoice_amount", "buyer_pay_amount", "point_amount", "refund_fee",
    "refund_amount",
)  # fmt: skip
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d{1,3})?", re.ASCII)


def check(fields: Mapping[str, str]) -> None:
    """Every amount and time in it, also of those that decide nothing. Raises AmountMismatch."""
    for name in AMOUNTS:
        if fields.get(name):
            fen_of(name, fields[name])
    for name in TIMES:
        time_of(name, fields.get(name, ""))


def trade_of(fields: Mapping[str, str], *, paid_at: str) -> Trade:
    """The trade, `paid_at` being the name of its time. Raises AmountMismatch."""
    check(fields)
    status, trade_no = fields.get("trade_status", ""), fields.get("trade_no", "")
    if status == "TRADE_CLOSED":
        return Trade("closed", trade_no)
    if status == "WAIT_BUYER_PAY":
        return Trade("waiting")
    if status not in PAID:
        return Trade("unknown")
    amount_fen = fen_of("total_amount", fields.get("total_amount", ""))
    if not amount_fen:
        raise AmountMismatch("total_amount")
    return Trade("paid", trade_number(trade_no), amount_fen, time_of(paid_at, fields.get(paid_at, "")))


def fen_of(name: str, yuan: str) -> int:
    """Exact fen of the provider's yuan. Raises AmountMismatch."""
    try:
        return provider_fen(name, fen_of_yuan(yuan))
    except BadAmount as malformed:
        raise AmountMismatch(name) from malformed


def time_of(name: str, text: str) -> int:
    """Epoch ms of the provider's time, to the second; 0 if it tells none. Raises AmountMismatch."""
    if not text:
        return 0
    try:
        if not (found := _TIME.fullmatch(text)):
            raise ValueError(text[:30])
        moment = datetime.fromisoformat(found[1]).replace(tzinfo=GMT8)
        return provider_ms(name, int(moment.timestamp()) * 1000)
    except (ValueError, OverflowError) as malformed:
        raise AmountMismatch(name) from malformed


def beijing(ms: int) -> str:
    """`yyyy-MM-dd HH:mm:ss` in GMT+8."""
    return datetime.fromtimestamp(ms // 1000, GMT8).strftime("%Y-%m-%d %H:%M:%S")
