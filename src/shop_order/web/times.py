"""Times on the wire: RFC 3339 with an offset."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from shop_order.domain.errors import InvalidArgument

GMT8 = timezone(timedelta(hours=8))
MOST_MS = 253_402_300_799_999  # the end of the year 9999
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def rfc3339(ms: int) -> str:
    """The time with milliseconds and the offset of China; empty for 0, which is not yet."""
    return datetime.fromtimestamp(ms / 1000, GMT8).isoformat(timespec="milliseconds") if ms else ""


def time_ms(field: str, text: str) -> int | None:
    """Epoch milliseconds of an RFC 3339 time with an offset, None for empty text. Raises InvalidArgument."""
    if not text:
        return None
    if len(text) > 40 or not _RFC3339.fullmatch(text):
        raise InvalidArgument(field, "not_a_time")
    try:
        return bounded_ms(field, int(datetime.fromisoformat(text).timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(field, "not_a_time") from error


def bounded_ms(field: str, ms: int) -> int:
    """The time if it lies in the years 1970 to 9999. Raises InvalidArgument."""
    if not 0 <= ms <= MOST_MS:
        raise InvalidArgument(field, "year_out_of_range")
    return ms
