"""The wallet's answers as they come over the wire: CloudEvents in JSON."""

from __future__ import annotations

from typing import Any

import orjson

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.event.wallet_events import ANSWERS, MAX_REASON, WalletAnswer

MAX_BYTES = 16 * 1024
MAX_ID = 255  # characters
MAX_NUMBER = 64


def answer_of(body: bytes) -> tuple[str, WalletAnswer]:
    """Decode an event; return its id and the answer. Raises InvalidArgument."""
    if len(body) > MAX_BYTES:
        raise InvalidArgument("cloud_events", "too_many_bytes", max=MAX_BYTES)
    try:
        event = orjson.loads(body)
        data = event["data"]
        answer = WalletAnswer(
            _short(event["type"], MAX_NUMBER),
            _short(data["payment_sn"], MAX_NUMBER),
            _whole(data["user_id"]),
            _whole(data["amount_fen"]),
            _short(data.get("refund_sn", "")),
            _short(data.get("reason", ""), MAX_REASON, code=True),
        )
        if event["specversion"] != "1.0" or answer.type not in ANSWERS or not answer.payment_sn:
            raise ValueError
        return _short(event["id"], MAX_ID) or _missing(), answer
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidArgument("cloud_events", "malformed") from None


def source_of(body: bytes) -> str:
    """Return the name of the service that an event says it is from; empty if it names none."""
    try:
        source = orjson.loads(body)["source"]
    except (ValueError, KeyError, TypeError):
        return ""
    return source if isinstance(source, str) else ""


def _short(text: Any, most: int = MAX_NUMBER, *, code: bool = False) -> str:
    plain = isinstance(text, str) and text.isascii() and text.isprintable() and len(text) <= most
    if not plain or (code and text and not text.replace("_", "").isalnum()):
        raise ValueError
    return str(text)


def _whole(number: Any) -> int:
    if type(number) is not int or number <= 0:
        raise ValueError
    return number


def _missing() -> str:
    raise ValueError
