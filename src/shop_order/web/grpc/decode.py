"""From the fields of gRPC requests to the domain's values, with every check of their form."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from shop_order.api.proto import order_pb2 as pb
from shop_order.domain.errors import InvalidArgument, inside
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.address import PostalAddress
from shop_order.pkg.ids import is_order_sn
from shop_order.web.dto.wire import bounded_ms

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
_STATUSES = {int(status): status for status in OrderStatus}
_TYPES = {int(payment_type): payment_type for payment_type in PaymentType}
_WORDS = {payment_type.code: payment_type for payment_type in PaymentType}


def address_of(message: pb.AddressInfo) -> PostalAddress:
    """The receiver. Raises InvalidArgument."""
    with inside("address"):
        return PostalAddress(
            name=message.name,
            phone=message.phone,
            detail=message.detail,
            province=message.province,
            city=message.city,
            district=message.district,
        )


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
    """The channel by its code (`alipay`), NOT_CHOSEN for an empty text. Raises InvalidArgument."""
    if word not in _WORDS:
        raise InvalidArgument("pay_type", "not_one_of", allowed=_allowed(_WORDS))
    return _WORDS[word]


def page_of(page: int, page_size: int) -> tuple[int, int]:
    """Page and size: 0 is the default, more than 100 is 100. Raises InvalidArgument."""
    if page < 0:
        raise InvalidArgument("page", "too_small", min=0)
    if page_size < 0:
        raise InvalidArgument("page_size", "too_small", min=0)
    return page or 1, min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


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
