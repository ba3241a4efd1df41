"""Times on the wire: RFC 3339 with an offset."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from shop_order.domain.errors import InvalidArgument

GMT8 = timezone(timedelta(hours=8))
MOST_MS = 253_402_300_799_999  # the end of the year 9999
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def rfc3339(ms: int) -> str:
    """The time with milliseconds and the offset of China; empty for 0, which is not yet."""
    if not ms:
        return ""
    minute, rest_ms = divmod(ms, 60_000)
    return f"{_minute(minute)}:{rest_ms // 1000:02d}.{rest_ms % 1000:03d}+08:00"


@lru_cache(maxsize=1024)  # an order has up to six times, and a list has hundreds
def _minute(number: int) -> str:
    return f"{datetime.fromtimestamp(number * 60, GMT8):%Y-%m-%dT%H:%M}"


def time_ms(field: str, text: str) -> int | None:
    """Epoch milliseconds of an RFC 3339 time with an offset, None for empty text. Raises InvalidArgument."""
    if not text:
        return None
    if len(text) > 40 or not _RFC3339.fullmatch(text):
        raise InvalidArgument(field, "is not a time with an offset, such as 2026-11-21T08:00:00+08:00")
    try:
        return bounded_ms(field, int(datetime.fromisoformat(text).timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(
            field, "is not a time with an offset, such as 2026-11-21T08:00:00+08:00"
        ) from error


def bounded_ms(field: str, ms: int) -> int:
    """The time if it lies in the years 1970 to 9999. Raises InvalidArgument."""
    if not 0 <= ms <= MOST_MS:
        raise InvalidArgument(field, "is outside the years 1970 to 9999")
    return ms
