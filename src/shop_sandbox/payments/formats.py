"""Times, amounts and numbers as both providers write them: GMT+8, yuan with two decimals."""

import secrets
from datetime import date, datetime, timedelta, timezone

CHINA = timezone(timedelta(hours=8))
TIME = "%Y-%m-%d %H:%M:%S"


def format_yuan(amount_fen: int) -> str:
    """An amount in yuan, such as `19.99` or `-0.01`."""
    sign, fen = ("-", -amount_fen) if amount_fen < 0 else ("", amount_fen)
    return f"{sign}{fen // 100}.{fen % 100:02d}"


def format_time(time_ms: int) -> str:
    """A time such as `2026-11-21 08:00:00`, GMT+8."""
    return datetime.fromtimestamp(time_ms / 1000, CHINA).strftime(TIME)


def day_start_ms(day: date) -> int:
    """Epoch milliseconds at which a day begins in China."""
    return int(datetime(day.year, day.month, day.day, tzinfo=CHINA).timestamp()) * 1000


def random_number(prefix: str, now_ms: int, digits: int) -> str:
    """A trade or notice number: the day, a prefix and random digits."""
    day = datetime.fromtimestamp(now_ms / 1000, CHINA).strftime("%Y%m%d")
    return f"{day}{prefix}{secrets.randbelow(10**digits):0{digits}d}"
