"""Conversion between the domain and the messages of specification 9.1 (`pb`) and chapter 3 (`shop_pb`).

Float amounts are in yuan, as specified, next to exact amounts in fen. Times are protobuf timestamps in 9.1,
and RFC 3339 with China's offset in chapter 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import InvalidArgument, OrderServiceError, inside
from shop_order.domain.event.order_events import Event
from shop_order.domain.order_log import entry_of
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import OrderItem
from shop_order.domain.valueobject.parties import PostalAddress
from shop_order.pkg.ids import is_order_sn
from shop_order.service.cart import CartLineView, CartView
from shop_order.web.dto.fields import attempts, bounded_ms, jsapi_params, payment_url, rfc3339
from shop_order.web.messages import (
    ERROR_DOMAIN,
    INTERNAL,
    INTERNAL_CODE,
    Language,
    error_text,
    plain_error_text,
    status_text,
)

K = TypeVar("K", int, str)
V = TypeVar("V")
DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
_STATUSES = {int(status): status for status in OrderStatus}
_TYPES = {int(payment_type): payment_type for payment_type in PaymentType}
_CODES = {payment_type.code: payment_type for payment_type in PaymentType}
_ADDRESS = ("name", "phone", "province", "city", "district", "detail")
_MAX_INT32 = 2**31 - 1


# ---- requests: validate fields ----


def address_of(message: pb.AddressInfo) -> PostalAddress:
    """The address of a message. Raises InvalidArgument."""
    with inside("address"):
        return PostalAddress(**{field: getattr(message, field) for field in _ADDRESS})


def order_sn_of(text: str) -> str:
    """The text, if it is a valid order number. Raises InvalidArgument."""
    if not is_order_sn(text):
        raise InvalidArgument("order_sn", "not_an_order_sn")
    return text


def status_of(number: int, field: str = "status") -> OrderStatus | None:
    """The status with this number; None for 0, which means any. Raises InvalidArgument."""
    return one_of(_STATUSES, number, field) if number else None


def payment_type_of(number: int) -> PaymentType:
    """The channel with this number; NOT_CHOSEN for 0. Raises InvalidArgument."""
    return one_of(_TYPES, number, "payment_type")


def payment_type_of_code(code: str) -> PaymentType:
    """The channel with this code, such as `alipay`; NOT_CHOSEN for empty text. Raises InvalidArgument."""
    return one_of(_CODES, code, "pay_type")


def page_of(page: int, page_size: int) -> tuple[int, int]:
    """The page and its size; 0 means the default, and sizes above 100 become 100. Raises InvalidArgument."""
    page = not_negative("page", page) or 1
    return page, min(not_negative("page_size", page_size) or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def not_negative(field: str, value: int) -> int:
    """The value. Raises InvalidArgument if it is negative."""
    if value < 0:
        raise InvalidArgument(field, "too_small", min=0)
    return value


def timestamp_ms(field: str, at: Timestamp) -> int:
    """Epoch milliseconds of a timestamp. Raises InvalidArgument."""
    if not 0 <= at.nanos < 1_000_000_000:
        raise InvalidArgument(field, "year_out_of_range")
    return bounded_ms(field, at.seconds * 1000 + at.nanos // 1_000_000)


def one_of(values: Mapping[K, V], key: K, field: str) -> V:
    """The value of the key. Raises InvalidArgument."""
    if key not in values:
        allowed = ",".join(str(each) for each in values if each)  # without the one for "not chosen"
        raise InvalidArgument(field, "not_one_of", allowed=allowed)
    return values[key]


# ---- responses ----


def timestamp(ms: int) -> Timestamp:
    """The timestamp of epoch milliseconds."""
    seconds, rest_ms = divmod(ms, 1000)
    return Timestamp(seconds=seconds, nanos=rest_ms * 1_000_000)


def _order(order: Order, pay_url: str) -> dict[str, Any]:
    payment = order.shown_payment()
    return {
        "id": order.id,
        "order_sn": order.order_sn,
        "user_id": order.user,
        "status": order.status,
        "pay_url": pay_url,
        "refund_status": order.refund_status,
        "payment_sn": payment.payment_sn if payment else "",
        "trade_no": order.trade_no,
        "version": order.version,
        "cancel_reason": order.shown_cancel_reason,
        "cancel_code": order.cancel_code,
    }


def _payment(payment: Payment) -> dict[str, Any]:
    """The URL is set only while the attempt can be paid."""
    params = jsapi_params(payment)
    return {
        "payment_sn": payment.payment_sn,
        "order_sn": payment.order_sn,
        "user_id": payment.user,
        "amount": payment.amount_fen / 100,
        "amount_fen": payment.amount_fen,
        "payment_type": payment.payment_type,
        "status": payment.state.wire,
        "payment_url": payment_url(payment),
        "jsapi_params": json.dumps(params) if params else "",
        "close_reason": payment.close_reason,
    }


# ---- specification 9.1 ----


def order_info(order: Order, pay_url: str) -> pb.OrderInfo:
    """An order."""
    return pb.OrderInfo(
        **_order(order, pay_url),
        total_amount=order.total_fen / 100,
        pay_amount=order.pay_fen / 100,
        freight_amount=order.freight_fen / 100,
        payment_type=order.pay_type,
        address=pb.AddressInfo(**{field: getattr(order.address, field) for field in _ADDRESS}),
        items=[_item(item, order.id) for item in order.items],
        remark=order.note,
        created_at=timestamp(order.created_ms),
        paid_at=timestamp(order.pay_ms) if order.pay_ms else None,
        total_amount_fen=order.total_fen,
        pay_amount_fen=order.pay_fen,
        freight_amount_fen=order.freight_fen,
        discount_amount_fen=order.discount_fen,
        expire_at=timestamp(order.expire_ms),
        logistics_company=order.logistics_company,
        logistics_no=order.logistics_no,
    )


def _item(item: OrderItem, order_id: int) -> pb.OrderItemInfo:
    return pb.OrderItemInfo(
        id=item.id,
        order_id=order_id,
        product_id=item.goods,
        product_name=item.goods_name,
        product_image=item.goods_image,
        price=item.price_fen / 100,
        quantity=item.nums,
        total_amount=item.total_fen / 100,
        price_fen=item.price_fen,
        total_amount_fen=item.total_fen,
    )


def payment_info(payment: Payment) -> pb.PaymentInfo:
    """A payment attempt."""
    return pb.PaymentInfo(
        **_payment(payment),
        created_at=timestamp(payment.created_ms),
        paid_at=timestamp(payment.paid_ms) if payment.paid_ms else None,
        expire_at=timestamp(payment.expire_ms),
        trade_no=payment.trade_no,
        trade_type=payment.trade_type,
        refunded_fen=payment.refunded_fen,
    )


def order_status(order: Order, language: Language) -> pb.OrderStatusResponse:
    """An order's status with its display name."""
    return pb.OrderStatusResponse(
        order_sn=order.order_sn,
        status=order.status,
        status_desc=status_text(order.status, language),
        version=order.version,
        changed_at=timestamp(order.updated_ms),
    )


# ---- specification 3 ----


def shop_cart(view: CartView) -> shop_pb.CartItemListResponse:
    """A cart."""
    return shop_pb.CartItemListResponse(
        total=len(view.lines),
        data=[shop_cart_line(line, view.user) for line in view.lines],
        checked_total_fen=view.checked_total_fen,
        checked_freight_fen=view.checked_freight_fen,
    )


def shop_cart_line(view: CartLineView, user: int) -> shop_pb.ShoppingCartInfo:
    """A line of the cart with its current goods; without name and price if the goods were deleted."""
    line, goods = view.line, view.goods
    info = shop_pb.ShoppingCartInfo(
        id=line.id,
        user_id=user,
        goods_id=line.goods,
        nums=line.nums,
        checked=line.checked,
        stocks=min(view.stocks, _MAX_INT32),
    )
    if goods is not None:
        info.goods_name, info.goods_image = goods.name, goods.image
        info.goods_price, info.price_fen = goods.price_fen / 100, goods.price_fen
        info.on_sale = goods.on_sale
    return info


def shop_order(order: Order, pay_url: str) -> shop_pb.OrderInfoResponse:
    """An order without its items; `total` is the amount due."""
    address = order.address
    return shop_pb.OrderInfoResponse(
        **_order(order, pay_url),
        pay_type=order.pay_type.code,
        post=address.post,
        total=order.pay_fen / 100,
        address=f"{address.province}{address.city}{address.district}{address.detail}",
        name=address.name,
        mobile=address.phone,
        add_time=rfc3339(order.created_ms),
        note=order.note,
        total_fen=order.pay_fen,
        pay_time=rfc3339(order.pay_ms),
        expire_at=rfc3339(order.expire_ms),
        freight_fen=order.freight_fen,
        discount_fen=order.discount_fen,
    )


def shop_order_detail(
    order: Order, pay_url: str, history: Sequence[Event]
) -> shop_pb.OrderInfoDetailResponse:
    """An order with items, parcel, history and payments."""
    parcel = shop_pb.Logistics(company=order.logistics_company, no=order.logistics_no)
    return shop_pb.OrderInfoDetailResponse(
        order_info=shop_order(order, pay_url),
        goods=[_shop_item(item, order.id) for item in order.items],
        logistics=[parcel] if order.shipped_ms else [],
        logs=[_shop_log(event) for event in history],
        payments=[shop_payment(payment) for payment in attempts(order)],
    )


def _shop_item(item: OrderItem, order_id: int) -> shop_pb.OrderItemResponse:
    return shop_pb.OrderItemResponse(
        id=item.id,
        order_id=order_id,
        goods_id=item.goods,
        goods_name=item.goods_name,
        goods_image=item.goods_image,
        goods_price=item.price_fen / 100,
        nums=item.nums,
        price_fen=item.price_fen,
    )


def _shop_log(event: Event) -> shop_pb.OrderLogEntry:
    entry = entry_of(event)
    return shop_pb.OrderLogEntry(
        action=entry.action,
        old_status=entry.old_status,
        new_status=entry.new_status,
        operator=entry.operator,
        operator_id=entry.operator_id,
        reason=entry.reason,
        timestamp=rfc3339(entry.at_ms),
    )


def shop_payment(payment: Payment) -> shop_pb.OrderPayResponse:
    """A payment attempt."""
    return shop_pb.OrderPayResponse(
        **_payment(payment),
        created_at=rfc3339(payment.created_ms),
        paid_at=rfc3339(payment.paid_ms),
        expire_at=rfc3339(payment.expire_ms),
    )


# ---- errors ----


def error_status(error: OrderServiceError, code: StatusCode, language: Language) -> tuple[str, bytes]:
    """The text and the serialized `google.rpc.Status` of an error."""
    text = error_text(error, language)
    metadata = {name: str(value) for name, value in error.details.items()}
    details: list[Message] = [ErrorInfo(reason=error.code, domain=ERROR_DOMAIN, metadata=metadata)]
    if error.retry_after_s is not None:
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        details.append(retry)
    return text, _status(code, text, details)


def internal_status(language: Language) -> tuple[str, bytes]:
    """The text and the serialized `google.rpc.Status` of an unexpected error."""
    text = plain_error_text(INTERNAL_CODE, language)
    return text, _status(INTERNAL.grpc, text, [ErrorInfo(reason=INTERNAL_CODE, domain=ERROR_DOMAIN)])


def _status(code: StatusCode, text: str, details: Sequence[Message]) -> bytes:
    status = Status(code=code.value[0], message=text)
    for detail in details:
        status.details.add().Pack(detail)
    raw: bytes = status.SerializeToString()
    return raw
