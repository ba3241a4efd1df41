"""Conversions that both protocols share: times, payments, cursors of lists."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import BridgeParameters, Payment, QrCode, Redirect
from shop_order.domain.errors import InvalidArgument
from shop_order.domain.ports import Cursor, OrderFilter
from shop_order.domain.valueobject.parties import Actor
from shop_order.pkg.signing import BadSignature, Signer

GMT8 = timezone(timedelta(hours=8))
MAX_MS = 253_402_300_799_999  # the end of the year 9999
_CURSOR = "cursor"  # purpose of the signature
_MAX_CURSOR = 256  # characters
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def rfc3339(ms: int) -> str:
    """RFC 3339 with milliseconds and China's offset; empty for 0, which means not yet."""
    if not ms:
        return ""
    minute, rest_ms = divmod(ms, 60_000)
    return f"{_minute(minute)}:{rest_ms // 1000:02d}.{rest_ms % 1000:03d}+08:00"


@lru_cache(maxsize=1024)  # an order has up to six times, and a list has hundreds
def _minute(number: int) -> str:
    return f"{datetime.fromtimestamp(number * 60, GMT8):%Y-%m-%dT%H:%M}"


def time_ms(field: str, text: str) -> int | None:
    """Epoch milliseconds of an RFC 3339 time with offset; None for empty text. Raises InvalidArgument."""
    if not text:
        return None
    if len(text) > 40 or not _RFC3339.fullmatch(text):
        raise InvalidArgument(field, "not_a_time")
    try:
        return bounded_ms(field, int(datetime.fromisoformat(text).timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(field, "not_a_time") from error


def bounded_ms(field: str, ms: int) -> int:
    """The time, if it is in the years 1970 to 9999. Raises InvalidArgument."""
    if not 0 <= ms <= MAX_MS:
        raise InvalidArgument(field, "year_out_of_range")
    return ms


def attempts(order: Order) -> list[Payment]:
    """The order's payments, oldest first."""
    return sorted(order.payments.values(), key=lambda payment: (payment.created_ms, payment.payment_sn))


def payment_url(payment: Payment) -> str:
    """The URL or QR code text for paying an open attempt; empty if there is none."""
    match payment.action if payment.is_open else None:
        case Redirect(text) | QrCode(text):
            return text
    return ""


def jsapi_params(payment: Payment) -> dict[str, str] | None:
    """The parameters for paying an open attempt in the provider's app, if there are any."""
    action = payment.action if payment.is_open else None
    return dict(action.values) if isinstance(action, BridgeParameters) else None


class Cursors:
    """Encodes positions in a list as opaque text.

    Cursors are signed, and bound to the caller and filter of their list.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def seal(self, actor: Actor, where: OrderFilter, position: Cursor | None) -> str:
        """The cursor of the next page; empty at the end."""
        if position is None:
            return ""
        return self._signer.seal(
            _CURSOR, f"{position.created_ms}.{position.id}.{_digest(actor, where)}".encode()
        )

    def open(self, actor: Actor, where: OrderFilter, text: str) -> Cursor | None:
        """The position of a cursor; None for empty text.

        Raises InvalidArgument if it is not ours, or belongs to another caller or filter.
        """
        if not text:
            return None
        try:
            payload = self._signer.unseal(_CURSOR, text if len(text) <= _MAX_CURSOR else "")
            created_ms, id, digest = payload.decode().split(".")
        except (BadSignature, ValueError) as error:
            raise InvalidArgument("cursor", "foreign_cursor") from error
        if digest != _digest(actor, where):
            raise InvalidArgument("cursor", "foreign_cursor")
        return Cursor(int(created_ms), int(id))


def _digest(actor: Actor, where: OrderFilter) -> str:
    user = where.user if actor.is_admin else actor.user_id
    seen = (user, where.status and int(where.status), where.order_sn, where.start_ms, where.end_ms)
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
