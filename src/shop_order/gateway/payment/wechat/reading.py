"""What WeChat Pay writes: JSON with amounts in fen, and times with an offset."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from shop_order.domain.entity.payment import provider_fen, provider_ms, trade_number
from shop_order.domain.errors import AmountMismatch
from shop_order.domain.ports import RefundResult, Trade, TradeState

GMT8 = timezone(timedelta(hours=8))
CURRENCY = "CNY"
# A trade stays paid after a refund: REFUND is the state of a payment of which a part or all was refunded.
STATES = {
    "SUCCESS": TradeState.PAID,
    "REFUND": TradeState.PAID,
    "NOTPAY": TradeState.WAITING,
    "USERPAYING": TradeState.WAITING,
    "ACCEPT": TradeState.WAITING,
    "PAYERROR": TradeState.WAITING,
    "CLOSED": TradeState.CLOSED,
    "REVOKED": TradeState.CLOSED,
}
REFUNDS = {
    "SUCCESS": RefundResult.SUCCEEDED,
    "PROCESSING": RefundResult.PROCESSING,
    "CLOSED": RefundResult.CLOSED,
    "ABNORMAL": RefundResult.ABNORMAL,
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_AMOUNTS = ("total", "payer_total", "refund", "payer_refund")
_TIMES = ("success_time", "create_time")

Fields = Mapping[str, Any]


def fields_of(content: bytes) -> Fields:
    """Return the members of a JSON object. Raises ValueError, also if one occurs twice."""
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_without_repeats)
    except RecursionError as deep:
        raise ValueError("too deeply nested") from deep
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def _without_repeats(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def text(fields: Fields, name: str) -> str:
    """Return a text, empty if it is missing or no text."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def part(fields: Fields, name: str) -> Fields:
    """Return an object, empty if it is missing or no object."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def check(fields: Fields) -> None:
    """Check every amount and time, including unused ones. Raises AmountMismatch."""
    amount = part(fields, "amount")
    for name in _AMOUNTS:
        if name in amount:
            fen_of(name, amount[name])
    for name in _TIMES:
        time_of(name, fields.get(name))


def trade_of(fields: Fields) -> Trade:
    """Return the trade. Raises AmountMismatch."""
    check(fields)
    state = STATES.get(text(fields, "trade_state"), TradeState.UNKNOWN)
    if state is not TradeState.PAID:
        return Trade(state)
    amount = part(fields, "amount")
    if amount.get("currency") != CURRENCY:
        raise AmountMismatch("currency")
    if not (amount_fen := fen_of("total", amount.get("total"))):
        raise AmountMismatch("total")
    paid_ms = time_of("success_time", fields.get("success_time"))
    return Trade(state, trade_number(text(fields, "transaction_id")), amount_fen, paid_ms)


def fen_of(name: str, fen: object) -> int:
    """Return an amount in fen, a whole number. Raises AmountMismatch."""
    if not isinstance(fen, int) or isinstance(fen, bool):
        raise AmountMismatch(name)
    return provider_fen(name, fen)


def time_of(name: str, written: object) -> int:
    """Return epoch ms of a time, to the second; 0 if it is missing or empty. Raises AmountMismatch."""
    if written is None or written == "":
        return 0
    try:
        if not (isinstance(written, str) and _TIME.fullmatch(written)):
            raise ValueError("not a time")
        moment = datetime.fromisoformat(written)
        return provider_ms(name, int(moment.timestamp()) * 1000)
    except (ValueError, OverflowError) as malformed:
        raise AmountMismatch(name) from malformed


def rfc3339(ms: int) -> str:
    """Return `yyyy-MM-ddTHH:mm:ss+08:00`."""
    return datetime.fromtimestamp(ms // 1000, GMT8).isoformat()


def shown(content: str, max_bytes: int) -> str:
    """Return what WeChat can show of a text: no characters of four bytes, and as many as fit."""
    known = "".join(sign for sign in content if sign <= "\uffff")
    return known.encode()[:max_bytes].decode("utf-8", "ignore")
