"""The client of the order service for programs with an event loop (specification 9.4)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from copy import copy
from dataclasses import replace
from types import TracebackType
from typing import Self

import grpc
import grpc.aio

from shop_order.api.client.call_log import LoggingInterceptor
from shop_order.api.client.calling import (
    Q,
    R,
    Retry,
    Token,
    Trace,
    credentials,
    metadata,
    new_key,
    new_request_id,
    open_channel,
)
from shop_order.api.client.errors import error_of
from shop_order.api.client.requests import (
    CheckOutCartRequest,
    CreateOrderRequest,
    ListOrdersRequest,
    PayOrderRequest,
    RequestRefundRequest,
)
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.api.proto.shop_order_pb2_grpc import OrderStub


class OrderClient:
    """Calls the order service. All errors are OrderApiError or one of its subclasses.

    `timeout_s` covers all attempts of a call. Reads are retried while the service is unavailable; so are
    create_order, check_out_cart, pay_order and request_refund, with a generated idempotency key unless one
    is given.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        timeout_s: float = 5.0,
        token: Token | None = None,
        language: str = "",
        retry: Retry | None = None,
        trace: Trace = tuple,
    ) -> None:
        """`token` is a bearer token or a function that returns one. Functions are called for every call.

        With `trace=tracing.current_trace`, calls continue the trace of OpenTelemetry's current span.
        """
        self._channel = channel
        self._orders = OrderServiceStub(channel)
        self._shop = OrderStub(channel)
        self._timeout_s = timeout_s
        self._token = token
        self._language = language
        self._retry = retry or Retry()
        self._trace = trace

    def with_token(self, token: Token) -> OrderClient:
        """A client with another token on the same connection."""
        client = copy(self)
        client._token = token
        return client

    async def close(self) -> None:
        """Close the connection, also for clients made by `with_token`."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- orders ----

    async def create_order(self, request: CreateOrderRequest, *, idempotency_key: str = "") -> pb.OrderInfo:
        """Buy the listed items.

        Raises InvalidArgument, GoodsUnavailable, OutOfStock, PriceChanged, TooManyUnpaid, KeyReused, ….
        """
        key = idempotency_key or new_key()
        return await self._call(self._orders.CreateOrder, request.message(), key)

    async def get_order(self, id: int, user_id: int = 0) -> pb.OrderInfo:
        """The order with this id. Raises NotFound."""
        request = pb.GetOrderRequest(id=id, user_id=user_id)
        return await self._call(self._orders.GetOrder, request, repeatable=True)

    async def get_order_by_order_sn(self, order_sn: str, user_id: int = 0) -> pb.OrderInfo:
        """The order with this number. Raises NotFound."""
        request = pb.GetOrderByOrderSnRequest(order_sn=order_sn, user_id=user_id)
        return await self._call(self._orders.GetOrderByOrderSn, request, repeatable=True)

    async def list_orders(self, request: ListOrdersRequest | None = None) -> pb.OrderListResponse:
        """A page of orders, newest first; continue with `next_cursor`."""
        message = (request or ListOrdersRequest()).message()
        return await self._call(self._orders.ListOrders, message, repeatable=True)

    async def each_order(self, request: ListOrdersRequest | None = None) -> AsyncIterator[pb.OrderInfo]:
        """All orders from the request's page on, newest first, fetched page by page."""
        wanted: ListOrdersRequest | None = request or ListOrdersRequest()
        while wanted:
            page = await self.list_orders(wanted)
            for order in page.orders:
                yield order
            wanted = replace(wanted, cursor=page.next_cursor) if page.next_cursor else None

    async def cancel_order(self, order_sn: str, user_id: int = 0, reason: str = "") -> None:
        """Cancel an unpaid order, or as an admin refund a paid one; a buyer's paid order raises UseRefund.

        Raises NotFound, IllegalTransition, NotRefundable.
        """
        request = pb.CancelOrderRequest(order_sn=order_sn, user_id=user_id, reason=reason)
        await self._call(self._orders.CancelOrder, request)

    async def check_order_status(self, order_sn: str) -> pb.OrderStatusResponse:
        """The status of an order and its display name. Raises NotFound."""
        request = pb.CheckOrderStatusRequest(order_sn=order_sn)
        return await self._call(self._orders.CheckOrderStatus, request, repeatable=True)

    async def ship_order(self, order_sn: str, logistics_company: str, logistics_no: str) -> pb.OrderInfo:
        """Ship an order; for admins. Raises NotFound, IllegalTransition."""
        request = pb.ShipOrderRequest(
            order_sn=order_sn, logistics_company=logistics_company, logistics_no=logistics_no
        )
        return await self._call(self._orders.ShipOrder, request)

    async def confirm_receipt(self, order_sn: str) -> pb.OrderInfo:
        """Confirm that the buyer has received the order. Raises NotFound, IllegalTransition."""
        return await self._call(self._orders.ConfirmReceipt, pb.ConfirmReceiptRequest(order_sn=order_sn))

    # ---- the cart ----

    async def add_shopping_cart(
        self, goods_id: int, nums: int = 1, user_id: int = 0
    ) -> shop.ShoppingCartInfo:
        """Add goods to the cart, on top of the existing quantity. Raises NotFound, InvalidArgument."""
        request = shop.CartItemRequest(user_id=user_id, goods_id=goods_id, nums=nums)
        return await self._call(self._shop.AddShoppingCart, request)

    async def update_shopping_cart(self, goods_id: int, nums: int, user_id: int = 0) -> None:
        """Set the quantity of a line. Raises NotFound, InvalidArgument."""
        request = shop.CartItemRequest(user_id=user_id, goods_id=goods_id, nums=nums)
        await self._call(self._shop.UpdateShoppingCart, request, repeatable=True)

    async def delete_shopping_cart(self, goods_id: int, user_id: int = 0) -> None:
        """Remove a line. Idempotent."""
        request = shop.CartItemRequest(user_id=user_id, goods_id=goods_id)
        await self._call(self._shop.DeleteShoppingCart, request, repeatable=True)

    async def get_shopping_cart(self, user_id: int = 0) -> shop.CartItemListResponse:
        """The cart with current names and prices."""
        return await self._call(self._shop.GetShoppingCart, shop.UserInfo(id=user_id), repeatable=True)

    async def update_cart_item_check(self, checked: bool, goods_id: int = 0, user_id: int = 0) -> None:
        """Set the check mark of a line, or of all lines without `goods_id`. Raises NotFound."""
        request = shop.CartItemRequest(user_id=user_id, goods_id=goods_id, checked=checked)
        await self._call(self._shop.UpdateCartItemCheck, request, repeatable=True)

    async def check_out_cart(
        self, request: CheckOutCartRequest, *, idempotency_key: str = ""
    ) -> shop.OrderInfoResponse:
        """Buy the checked lines of the cart.

        Raises InvalidArgument if nothing is checked, and what create_order raises.
        """
        key = idempotency_key or new_key()
        return await self._call(self._shop.CreateOrder, request.message(), key)

    # ---- payments ----

    async def pay_order(self, request: PayOrderRequest, *, idempotency_key: str = "") -> pb.PaymentInfo:
        """Open a payment attempt, or reuse the open one.

        Raises NotFound, ChannelUnavailable, PayWindowClosed, IllegalTransition, KeyReused.
        """
        return await self._call(self._orders.PayOrder, request.message(), idempotency_key or new_key())

    async def get_payment_info(self, order_sn: str, user_id: int = 0) -> pb.PaymentInfo:
        """The attempt that paid the order, otherwise the latest. Raises NotFound."""
        request = pb.GetPaymentInfoRequest(order_sn=order_sn, user_id=user_id)
        return await self._call(self._orders.GetPaymentInfo, request, repeatable=True)

    # ---- refunds ----

    async def request_refund(
        self, request: RequestRefundRequest, *, idempotency_key: str = ""
    ) -> pb.RefundInfo:
        """Ask for a refund; an admin decides. Raises NotFound, NotRefundable, InvalidArgument, KeyReused."""
        return await self._call(self._orders.RequestRefund, request.message(), idempotency_key or new_key())

    async def get_refund(self, refund_sn: str) -> pb.RefundInfo:
        """The refund with this number. Raises NotFound."""
        request = pb.GetRefundRequest(refund_sn=refund_sn)
        return await self._call(self._orders.GetRefund, request, repeatable=True)

    async def list_refunds(
        self, *, user_id: int = 0, state: str = "", page_size: int = 20, cursor: str = "", order_sn: str = ""
    ) -> pb.ListRefundsResponse:
        """A page of refunds, newest first; continue with `next_cursor`."""
        request = pb.ListRefundsRequest(
            user_id=user_id, state=state, page_size=page_size, cursor=cursor, order_sn=order_sn
        )
        return await self._call(self._orders.ListRefunds, request, repeatable=True)

    async def withdraw_refund(self, refund_sn: str) -> pb.RefundInfo:
        """Take back a refund that is not decided yet. Raises NotFound, IllegalTransition."""
        request = pb.WithdrawRefundRequest(refund_sn=refund_sn)
        return await self._call(self._orders.WithdrawRefund, request, repeatable=True)

    async def send_return_parcel(
        self, refund_sn: str, logistics_company: str, logistics_no: str
    ) -> pb.RefundInfo:
        """Enter the parcel that brings the goods back. Raises NotFound, IllegalTransition."""
        request = pb.SendReturnParcelRequest(
            refund_sn=refund_sn, logistics_company=logistics_company, logistics_no=logistics_no
        )
        return await self._call(self._orders.SendReturnParcel, request, repeatable=True)

    async def approve_refund(self, refund_sn: str, freight_fen: int = 0, reason: str = "") -> pb.RefundInfo:
        """Approve a refund; for admins. Raises NotFound, SecondApprovalNeeded, NotRefundable."""
        request = pb.DecideRefundRequest(
            refund_sn=refund_sn, approve=True, freight_fen=freight_fen, reason=reason
        )
        return await self._call(self._orders.DecideRefund, request)

    async def reject_refund(self, refund_sn: str, reason: str) -> pb.RefundInfo:
        """Reject a refund; for admins. Raises NotFound, IllegalTransition."""
        request = pb.DecideRefundRequest(refund_sn=refund_sn, reason=reason)
        return await self._call(self._orders.DecideRefund, request, repeatable=True)

    async def receive_return(self, refund_sn: str) -> pb.RefundInfo:
        """Record that the goods are back; for admins. Raises NotFound, IllegalTransition."""
        request = pb.ReceiveReturnRequest(refund_sn=refund_sn)
        return await self._call(self._orders.ReceiveReturn, request, repeatable=True)

    async def resend_refund(self, refund_sn: str) -> pb.RefundInfo:
        """Send a failed refund again; for admins. Raises NotFound, RefundTooLate, RefundAbnormal."""
        return await self._call(self._orders.ResendRefund, pb.ResendRefundRequest(refund_sn=refund_sn))

    async def settle_refund(self, refund_sn: str, reason: str) -> pb.RefundInfo:
        """Record that the buyer was paid by hand; for admins. Raises NotFound, IllegalTransition."""
        request = pb.SettleRefundRequest(refund_sn=refund_sn, reason=reason)
        return await self._call(self._orders.SettleRefund, request, repeatable=True)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Q, R],
        request: Q,
        key: str = "",
        *,
        repeatable: bool = False,
    ) -> R:
        """Call until it succeeds or `Retry` ends it; without a key, only `repeatable` calls are retried."""
        request_id = new_request_id()
        ends_s = time.monotonic() + self._timeout_s
        attempt = 0
        while True:
            attempt += 1
            carried = metadata(self._token, request_id, key, self._language, self._trace())
            left_s = max(ends_s - time.monotonic(), 0.001)
            try:
                return await method(request, timeout=left_s, metadata=carried)
            except grpc.aio.AioRpcError as failed:
                error = error_of(
                    failed.code(), failed.details() or "", failed.trailing_metadata() or (), request_id
                )
                pause_s = None
                if repeatable or key:
                    pause_s = self._retry.pause_s(error, attempt, ends_s - time.monotonic())
                if pause_s is None:
                    raise error from failed
            await asyncio.sleep(pause_s)


def new_order_client(
    target: str,
    use_tls: bool = False,
    cert_file: str = "",
    timeout_s: float = 5.0,
    *,
    token: Token | None = None,
    language: str = "",
    retry: Retry | None = None,
    client_cert: tuple[str, str] | None = None,
    trace: Trace = tuple,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (LoggingInterceptor(),),
) -> OrderClient:
    """A client of `target` (host:port); it connects on the first call and reconnects after a loss.

    `cert_file` is the server's CA, `client_cert` our certificate and key for mutual TLS. Each
    attempt passes through `interceptors`; () turns the log off. Raises OSError.
    """
    channel = open_channel(target, credentials(cert_file, client_cert) if use_tls else None, interceptors)
    return OrderClient(channel, timeout_s=timeout_s, token=token, language=language, retry=retry, trace=trace)
