"""The client of the order service, for other services (specification 9.4).

async with new_order_client("127.0.0.1:50051", token=token) as orders:
    order = await orders.create_order(CreateOrderRequest([OrderItemRequest(101, 2)], address))
"""

from shop_order.api.client.call_log import LoggingInterceptor, SyncLoggingInterceptor
from shop_order.api.client.calling import Retry
from shop_order.api.client.errors import (
    Aborted,
    AmountNotPayable,
    ChannelUnavailable,
    CouponUnknown,
    DeadlineExceeded,
    FailedPrecondition,
    GoodsUnavailable,
    IllegalTransition,
    InvalidArgument,
    KeyReused,
    NotFound,
    OrderApiError,
    OutOfStock,
    PayWindowClosed,
    PermissionDenied,
    PriceChanged,
    ResourceExhausted,
    TooManyUnpaid,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    UseRefund,
)
from shop_order.api.client.order_client import OrderClient, new_order_client
from shop_order.api.client.requests import (
    AddressInfo,
    CheckOutCartRequest,
    CreateOrderRequest,
    ListOrdersRequest,
    OrderItemRequest,
    OrderStatus,
    PaymentStatus,
    PaymentType,
    PayOrderRequest,
    RefundStatus,
)
from shop_order.api.client.sync_order_client import SyncOrderClient, new_sync_order_client

__all__ = [
    "Aborted",
    "AddressInfo",
    "AmountNotPayable",
    "ChannelUnavailable",
    "CheckOutCartRequest",
    "CouponUnknown",
    "CreateOrderRequest",
    "DeadlineExceeded",
    "FailedPrecondition",
    "GoodsUnavailable",
    "IllegalTransition",
    "InvalidArgument",
    "KeyReused",
    "ListOrdersRequest",
    "LoggingInterceptor",
    "NotFound",
    "OrderApiError",
    "OrderClient",
    "OrderItemRequest",
    "OrderStatus",
    "OutOfStock",
    "PayOrderRequest",
    "PayWindowClosed",
    "PaymentStatus",
    "PaymentType",
    "PermissionDenied",
    "PriceChanged",
    "RefundStatus",
    "ResourceExhausted",
    "Retry",
    "SyncLoggingInterceptor",
    "SyncOrderClient",
    "TooManyUnpaid",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "UseRefund",
    "new_order_client",
    "new_sync_order_client",
]
