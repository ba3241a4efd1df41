"""Requests as plain values (specification 9.4), and the numbers of the wire by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import IntEnum

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop


@dataclass(frozen=True, slots=True)
class OrderItemRequest:
    """A product and its quantity."""

    product_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class AddressInfo:
    """A delivery address."""

    name: str
    phone: str
    detail: str
    province: str = ""
    city: str = ""
    district: str = ""


@dataclass(frozen=True, slots=True)
class CreateOrderRequest:
    """An order of listed items. `user_id` 0 means the token's user; `expected_total_fen` 0 is not checked.

    The cashier links to `return_url` after payment, otherwise to `cancel_url`.
    """

    items: Sequence[OrderItemRequest]
    address: AddressInfo
    user_id: int = 0
    remark: str = ""
    coupon_id: str = ""
    payment_type: int = 0
    quote_token: str = ""
    expected_total_fen: int = 0
    return_url: str = ""
    cancel_url: str = ""

    def message(self) -> pb.CreateOrderRequest:
        """The protobuf message."""
        fields = asdict(self) | {"items": [asdict(item) for item in self.items]}  # of any sequence
        return pb.CreateOrderRequest(**fields)


@dataclass(frozen=True, slots=True)
class CheckOutCartRequest:
    """An order of the checked lines of the cart. `pay_type` is `alipay`, `wechat` or `balance`.

    With an empty `pay_type` the buyer chooses later. `expected_total_fen` None is not checked. The cashier
    links to `return_url` after payment, otherwise to `cancel_url`.
    """

    address: AddressInfo
    user_id: int = 0
    note: str = ""
    coupon_id: str = ""
    pay_type: str = ""
    quote_token: str = ""
    expected_total_fen: int | None = None
    return_url: str = ""
    cancel_url: str = ""

    def message(self) -> shop.OrderRequest:
        """The protobuf message."""
        return shop.OrderRequest(
            user_id=self.user_id,
            name=self.address.name,
            mobile=self.address.phone,
            province=self.address.province,
            city=self.address.city,
            district=self.address.district,
            address=self.address.detail,
            note=self.note,
            pay_type=self.pay_type,
            coupon_id=self.coupon_id,
            quote_token=self.quote_token,
            expected_total_fen=self.expected_total_fen,
            return_url=self.return_url,
            cancel_url=self.cancel_url,
        )


@dataclass(frozen=True, slots=True)
class ListOrdersRequest:
    """A filter and page of orders. Times must have an offset; with `cursor`, `page` is ignored."""

    user_id: int = 0
    page: int = 1
    page_size: int = 20
    status: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    cursor: str = ""

    def message(self) -> pb.ListOrdersRequest:
        """The protobuf message. Raises ValueError for a time without an offset."""
        message = pb.ListOrdersRequest(
            user_id=self.user_id,
            page=self.page,
            page_size=self.page_size,
            status=self.status,
            cursor=self.cursor,
        )
        for field, at in (("start_time", self.start_time), ("end_time", self.end_time)):
            if at is not None:
                if at.tzinfo is None:
                    raise ValueError(f"{field} needs an offset")
                getattr(message, field).FromDatetime(at)
        return message


@dataclass(frozen=True, slots=True)
class PayOrderRequest:
    """How to pay: `payment_type` is a PaymentType; an empty `trade_type` means the channel's default."""

    order_sn: str
    payment_type: int
    user_id: int = 0
    trade_type: str = ""
    openid: str = ""
    client_ip: str = ""
    return_url: str = ""

    def message(self) -> pb.PayOrderRequest:
        """The protobuf message."""
        return pb.PayOrderRequest(**asdict(self))


@dataclass(frozen=True, slots=True)
class RequestRefundRequest:
    """What to refund: `items`, `amount_fen`, or without both everything that is left.

    `type` is `refund_only`, or `return` if the goods come back first.
    """

    order_sn: str
    items: Sequence[OrderItemRequest] = ()
    amount_fen: int = 0
    reason: str = ""
    type: str = "refund_only"

    def message(self) -> pb.RequestRefundRequest:
        """The protobuf message."""
        return pb.RequestRefundRequest(**asdict(self) | {"items": [asdict(item) for item in self.items]})


# ---- the numbers of the wire, by name ----


class OrderStatus(IntEnum):
    """`status` of an order; 0 in ListOrdersRequest means all."""

    PENDING = 1
    PAID = 2
    SHIPPED = 3
    COMPLETED = 4
    CANCELLED = 5


class RefundStatus(IntEnum):
    """`refund_status` of an order: how much of it was refunded."""

    NONE = 0
    OPEN = 1
    WHOLE = 2
    PART = 3


class PaymentType(IntEnum):
    """`payment_type`, the channel; NOT_CHOSEN until the buyer has chosen."""

    NOT_CHOSEN = 0
    ALIPAY = 1
    WECHAT = 2
    BALANCE = 3


class PaymentStatus(IntEnum):
    """`status` of a payment attempt."""

    OPEN = 1
    PAID = 2
    REFUNDED = 3
    CLOSED = 4
