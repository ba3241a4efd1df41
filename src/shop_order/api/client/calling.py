"""What both clients share: the methods, the options of a channel, and when to try again."""

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

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
Token = str | Callable[[], str]
Trace = Callable[[], tuple[tuple[str, str], ...]]  # metadata of the trace a call belongs to

SERVICE = "order.OrderService"
CHANNEL_OPTIONS = (
    # Without a policy gRPC repeats only what no server has seen, as when a proxy reloads.
    # All else is decided here, by whether it may be repeated.
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class Method(Generic[Q, R]):
    """A method of 9.1; `reads` may be called again at will, others only with an idempotency key."""

    name: str
    answer: type[R]
    reads: bool = False

    @property
    def path(self) -> str:
        """The full name on the wire."""
        return f"/{SERVICE}/{self.name}"


CREATE_ORDER: Method[pb.CreateOrderRequest, pb.OrderInfo] = Method("CreateOrder", pb.OrderInfo)
GET_ORDER: Method[pb.GetOrderRequest, pb.OrderInfo] = Method("GetOrder", pb.OrderInfo, reads=True)
GET_ORDER_BY_ORDER_SN: Method[pb.GetOrderByOrderSnRequest, pb.OrderInfo] = Method(
    "GetOrderByOrderSn", pb.OrderInfo, reads=True
)
LIST_ORDERS: Method[pb.ListOrdersRequest, pb.OrderListResponse] = Method(
    "ListOrders", pb.OrderListResponse, reads=True
)
CANCEL_ORDER: Method[pb.CancelOrderRequest, Empty] = Method("CancelOrder", Empty)
PAY_ORDER: Method[pb.PayOrderRequest, pb.PaymentInfo] = Method("PayOrder", pb.PaymentInfo)
GET_PAYMENT_INFO: Method[pb.GetPaymentInfoRequest, pb.PaymentInfo] = Method(
    "GetPaymentInfo", pb.PaymentInfo, reads=True
)
CHECK_ORDER_STATUS: Method[pb.CheckOrderStatusRequest, pb.OrderStatusResponse] = Method(
    "CheckOrderStatus", pb.OrderStatusResponse, reads=True
)
SHIP_ORDER: Method[pb.ShipOrderRequest, pb.OrderInfo] = Method("ShipOrder", pb.OrderInfo)
CONFIRM_RECEIPT: Method[pb.ConfirmReceiptRequest, pb.OrderInfo] = Method("ConfirmReceipt", pb.OrderInfo)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call that may be repeated is tried, and how long the pauses are: full jitter, doubling."""

    attempts: int = 4
    first_s: float = 0.05
    most_s: float = 2.0

    def pause_s(self, error: OrderApiError, attempt: int, left_s: float) -> float | None:
        """How long to wait after the attempt (from 1), None to give up.

        The service's own wish is honoured; nothing is waited for that the deadline would not outlast.
        """
        overloaded = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after_s is not None
        if attempt >= self.attempts or not (error.code is grpc.StatusCode.UNAVAILABLE or overloaded):
            return None
        ceiling_s = min(self.first_s * 2 ** (attempt - 1), self.most_s)
        pause_s = (error.retry_after_s or 0.0) + random.uniform(0, ceiling_s)  # noqa: S311 - no secret
        return pause_s if pause_s < left_s else None


def new_key() -> str:
    """An idempotency key nobody else has."""
    return secrets.token_urlsafe(18)


def new_request_id() -> str:
    """An id under which all attempts of one call are logged."""
    return secrets.token_hex(12)


def no_trace() -> tuple[tuple[str, str], ...]:
    """Calls belong to no trace."""
    return ()


def metadata(
    token: Token | None, request_id: str, key: str, language: str, trace: tuple[tuple[str, str], ...] = ()
) -> tuple[tuple[str, str], ...]:
    """What every call carries."""
    carried = [("x-request-id", request_id), *trace]
    if bearer := token() if callable(token) else token:
        carried.append(("authorization", f"Bearer {bearer}"))
    if key:
        carried.append(("idempotency-key", key))
    if language:
        carried.append(("accept-language", language))
    return tuple(carried)


def credentials(cert_file: str, client_cert: tuple[str, str] | None) -> grpc.ChannelCredentials:
    """TLS: `cert_file` has the servers' CA (empty: the system's), `client_cert` our certificate and key.

    Raises OSError.
    """
    ca = Path(cert_file).read_bytes() if cert_file else None
    if client_cert is None:
        return grpc.ssl_channel_credentials(ca)
    chain, key = (Path(path).read_bytes() for path in client_cert)
    return grpc.ssl_channel_credentials(ca, key, chain)
