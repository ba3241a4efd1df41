"""Shared by both clients: methods, channel options, metadata and the retry policy."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from shop_order.api.client.errors import OrderApiError
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
Token = str | Callable[[], str]
Trace = Callable[[], tuple[tuple[str, str], ...]]  # trace metadata of a call

ORDER_SERVICE = "order.OrderService"  # specification 9.1
SHOP_ORDER = "shop.order.Order"  # specification 3
CHANNEL_OPTIONS = (
    # Without a retry policy gRPC retries only calls that no server has seen, as when a proxy reloads.
    # All other retries are up to `Retry`.
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class Method(Generic[Q, R]):
    """A method. A `repeatable` one can always be retried, others only with an idempotency key."""

    name: str
    answer: type[R]
    repeatable: bool = False
    service: str = ORDER_SERVICE

    @property
    def path(self) -> str:
        """The full method name."""
        return f"/{self.service}/{self.name}"


CREATE_ORDER: Method[pb.CreateOrderRequest, pb.OrderInfo] = Method("CreateOrder", pb.OrderInfo)
GET_ORDER: Method[pb.GetOrderRequest, pb.OrderInfo] = Method("GetOrder", pb.OrderInfo, repeatable=True)
GET_ORDER_BY_ORDER_SN: Method[pb.GetOrderByOrderSnRequest, pb.OrderInfo] = Method(
    "GetOrderByOrderSn", pb.OrderInfo, repeatable=True
)
LIST_ORDERS: Method[pb.ListOrdersRequest, pb.OrderListResponse] = Method(
    "ListOrders", pb.OrderListResponse, repeatable=True
)
CANCEL_ORDER: Method[pb.CancelOrderRequest, Empty] = Method("CancelOrder", Empty)
PAY_ORDER: Method[pb.PayOrderRequest, pb.PaymentInfo] = Method("PayOrder", pb.PaymentInfo)
GET_PAYMENT_INFO: Method[pb.GetPaymentInfoRequest, pb.PaymentInfo] = Method(
    "GetPaymentInfo", pb.PaymentInfo, repeatable=True
)
CHECK_ORDER_STATUS: Method[pb.CheckOrderStatusRequest, pb.OrderStatusResponse] = Method(
    "CheckOrderStatus", pb.OrderStatusResponse, repeatable=True
)
SHIP_ORDER: Method[pb.ShipOrderRequest, pb.OrderInfo] = Method("ShipOrder", pb.OrderInfo)
CONFIRM_RECEIPT: Method[pb.ConfirmReceiptRequest, pb.OrderInfo] = Method("ConfirmReceipt", pb.OrderInfo)

# Adding is not idempotent, so it is never retried; the other cart methods are.
ADD_SHOPPING_CART: Method[shop.CartItemRequest, shop.ShoppingCartInfo] = Method(
    "AddShoppingCart", shop.ShoppingCartInfo, service=SHOP_ORDER
)
UPDATE_SHOPPING_CART: Method[shop.CartItemRequest, Empty] = Method(
    "UpdateShoppingCart", Empty, repeatable=True, service=SHOP_ORDER
)
DELETE_SHOPPING_CART: Method[shop.CartItemRequest, Empty] = Method(
    "DeleteShoppingCart", Empty, repeatable=True, service=SHOP_ORDER
)
GET_SHOPPING_CART: Method[shop.UserInfo, shop.CartItemListResponse] = Method(
    "GetShoppingCart", shop.CartItemListResponse, repeatable=True, service=SHOP_ORDER
)
UPDATE_CART_ITEM_CHECK: Method[shop.CartItemRequest, Empty] = Method(
    "UpdateCartItemCheck", Empty, repeatable=True, service=SHOP_ORDER
)
CHECK_OUT_CART: Method[shop.OrderRequest, shop.OrderInfoResponse] = Method(
    "CreateOrder", shop.OrderInfoResponse, service=SHOP_ORDER
)


@dataclass(frozen=True, slots=True)
class Retry:
    """The retry policy: number of attempts, and exponential backoff with full jitter."""

    attempts: int = 4
    first_s: float = 0.05
    most_s: float = 2.0

    def pause_s(self, error: OrderApiError, attempt: int, left_s: float) -> float | None:
        """Seconds to wait after this attempt (from 1); None to stop.

        At least the service's own `retry_after_s`; stops if the pause would exceed the deadline.
        """
        overloaded = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after_s is not None
        if attempt >= self.attempts or not (error.code is grpc.StatusCode.UNAVAILABLE or overloaded):
            return None
        ceiling_s = min(self.first_s * 2 ** (attempt - 1), self.most_s)
        pause_s = (error.retry_after_s or 0.0) + random.uniform(0, ceiling_s)  # noqa: S311 - not a secret
        return pause_s if pause_s < left_s else None


def new_key() -> str:
    """A unique idempotency key."""
    return secrets.token_urlsafe(18)


def new_request_id() -> str:
    """A request id, shared by all attempts of a call."""
    return secrets.token_hex(12)


def no_trace() -> tuple[tuple[str, str], ...]:
    """No trace metadata."""
    return ()


def metadata(
    token: Token | None, request_id: str, key: str, language: str, trace: tuple[tuple[str, str], ...] = ()
) -> tuple[tuple[str, str], ...]:
    """The metadata of a call."""
    carried = [("x-request-id", request_id), *trace]
    if bearer := token() if callable(token) else token:
        carried.append(("authorization", f"Bearer {bearer}"))
    if key:
        carried.append(("idempotency-key", key))
    if language:
        carried.append(("accept-language", language))
    return tuple(carried)


def credentials(cert_file: str, client_cert: tuple[str, str] | None) -> grpc.ChannelCredentials:
    """TLS credentials: the server's CA (empty: the system's), and our certificate and key.

    Raises OSError.
    """
    ca = Path(cert_file).read_bytes() if cert_file else None
    if client_cert is None:
        return grpc.ssl_channel_credentials(ca)
    chain, key = (Path(path).read_bytes() for path in client_cert)
    return grpc.ssl_channel_credentials(ca, key, chain)
