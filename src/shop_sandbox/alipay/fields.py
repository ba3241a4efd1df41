"""The provider's formats of times, amounts and numbers."""

import re
from datetime import UTC, datetime

from shop_sandbox.payments.formats import CHINA, TIME, format_time, format_yuan, random_number

__all__ = [
    "CHINA",
    "AmountOutOfRange",
    "format_time",
    "format_yuan",
    "parse_time",
    "parse_yuan",
    "random_number",
]

MAX_AMOUNT_FEN = 10_000_000_000
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,15})\.([0-9]{2})", re.ASCII)


class AmountOutOfRange(ValueError):
    """A well-formed amount outside the allowed range."""


def parse_yuan(text: object) -> int:
    """The fen of a text such as `19.99`. Raises ValueError, AmountOutOfRange outside 0.01 to 1e8 yuan."""
    match = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("an amount must have two decimals")
    amount_fen = int(match[1]) * 100 + int(match[2])
    if not 0 < amount_fen <= MAX_AMOUNT_FEN:
        raise AmountOutOfRange("an amount must be between 0.01 and 100000000.00")
    return amount_fen


def parse_time(text: object) -> int:
    """Epoch milliseconds of `2026-11-21 08:00:00`, GMT+8. Raises ValueError."""
    if not isinstance(text, str) or len(text) != 19:
        raise ValueError("a time must be yyyy-MM-dd HH:mm:ss")
    moment = datetime.strptime(text, TIME).replace(tzinfo=CHINA)
    return int(moment.astimezone(UTC).timestamp()) * 1000
