"""From the fields of requests to the domain's values; every check of a field's shape that gRPC needs."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from shop_order.domain.errors import InvalidArgument, NotYourself
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.actor import Actor
from shop_order.pkg.util.order_sn import is_order_sn
from shop_order.web.times import bounded_ms

DEFAULT_PAGE_SIZE = 20
MOST_PAGE_SIZE = 100
_STATUSES = {int(status): status for status in OrderStatus}
_TYPES = {int(payment_type): payment_type for payment_type in PaymentType}
_WORDS = {payment_type.code: payment_type for payment_type in PaymentType}


def owner_of(actor: Actor, user_id: int) -> int:
    """The user an operation is narrowed to, 0 for none (contract, chapter 3).

    Raises InvalidArgument, NotYourself (who is no admin and names somebody else).
    """
    if user_id < 0:
        raise InvalidArgument("user_id", "too_small", min=0)
    if actor.is_admin:
        return user_id
    if user_id not in (0, actor.user_id):
        raise NotYourself
    return 0


def order_sn_of(text: str) -> str:
    """A well-formed order number. Raises InvalidArgument."""
    if not is_order_sn(text):
        raise InvalidArgument("order_sn", "not_an_order_sn")
    return text


def status_of(number: int, field: str = "status") -> OrderStatus | None:
    """The status, None for 0, which means any. Raises InvalidArgument."""
    if number == 0:
        return None
    if number not in _STATUSES:
        raise InvalidArgument(field, "not_one_of", allowed=_allowed(_STATUSES))
    return _STATUSES[number]


def payment_type_of(number: int) -> PaymentType:
    """The channel, NOT_CHOSEN for 0. Raises InvalidArgument."""
    if number not in _TYPES:
        raise InvalidArgument("payment_type", "not_one_of", allowed=_allowed(_TYPES))
    return _TYPES[number]


def payment_word(word: str) -> PaymentType:
    """The channel of a word of column `pay_type`, NOT_CHOSEN for an empty one. Raises InvalidArgument."""
    if word not in _WORDS:
        raise InvalidArgument("pay_type", "not_one_of", allowed=_allowed(_WORDS))
    return _WORDS[word]


def page_of(page: int, page_size: int) -> tuple[int, int]:
    """Page and size: 0 is the default, more than 100 is 100. Raises InvalidArgument."""
    if page < 0:
        raise InvalidArgument("page", "too_small", min=0)
    if page_size < 0:
        raise InvalidArgument("page_size", "too_small", min=0)
    return page or 1, min(page_size or DEFAULT_PAGE_SIZE, MOST_PAGE_SIZE)


def expected_of(expected_fen: int) -> int:
    """A total the caller expects. Raises InvalidArgument."""
    if expected_fen < 0:
        raise InvalidArgument("expected_total_fen", "too_small", min=0)
    return expected_fen


def timestamp_ms(field: str, at: Timestamp) -> int:
    """Epoch milliseconds. Raises InvalidArgument."""
    if not 0 <= at.nanos < 1_000_000_000:
        raise InvalidArgument(field, "year_out_of_range")
    return bounded_ms(field, at.seconds * 1000 + at.nanos // 1_000_000)


def _allowed(values: Iterable[object]) -> str:
    """All but what means that nothing is chosen."""
    return ",".join(str(value) for value in values if value)
