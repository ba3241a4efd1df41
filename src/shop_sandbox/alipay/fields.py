"""The provider's formats of times, amounts and numbers."""

import re
import secrets
from datetime import UTC, datetime, timedelta, timezone

CHINA = timezone(timedelta(hours=8))
MAX_AMOUNT_FEN = 10_000_000_000
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,15})\.([0-9]{2})", re.ASCII)
_TIME = "%Y-%m-%d %H:%M:%S"


class AmountOutOfRange(ValueError):
    """A well-formed amount outside the allowed range."""


def format_yuan(amount_fen: int) -> str:
    """An amount in yuan, such as `19.99`."""
    return f"{amount_fen // 100}.{amount_fen % 100:02d}"


def parse_yuan(text: object) -> int:
    """The fen of a text such as `19.99`. Raises ValueError, AmountOutOfRange outside 0.01 to 1e8 yuan."""
    match = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("an amount must have two decimals")
    amount_fen = int(match[1]) * 100 + int(match[2])
    if not 0 < amount_fen <= MAX_AMOUNT_FEN:
        raise AmountOutOfRange("an amount must be between 0.01 and 100000000.00")
    return amount_fen


def format_time(time_ms: int) -> str:
    """A time such as `2026-11-21 08:00:00`, GMT+8."""
    return datetime.fromtimestamp(time_ms / 1000, CHINA).strftime(_TIME)


def parse_time(text: object) -> int:
    """Epoch milliseconds of `2026-11-21 08:00:00`, GMT+8. Raises ValueError."""
    if not isinstance(text, str) or len(text) != 19:
        raise ValueError("a time must be yyyy-MM-dd HH:mm:ss")
    moment = datetime.strptime(text, _TIME).replace(tzinfo=CHINA)
    return int(moment.astimezone(UTC).timestamp()) * 1000


def random_number(prefix: str, now_ms: int, digits: int) -> str:
    """A trade or notice number: the day, a prefix and random digits."""
    day = datetime.fromtimestamp(now_ms / 1000, CHINA).strftime("%Y%m%d")
    return f"{day}{prefix}{secrets.randbelow(10**digits):0{digits}d}"
