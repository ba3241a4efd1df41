"""`order.OrderService` (specification 9.1): decode, call one use case, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import ip_address

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.shop_order_pb2 import OrderPayRequest
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import InvalidArgument, Unimplemented
from shop_order.domain.ports import OrderFilter, Payer
from shop_order.domain.valueobject.item import lines_of
from shop_order.domain.valueobject.parties import Role
from shop_order.service.notice import MAX_MESSAGE, notify_payment
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from shop_order.service.use_cases import UseCases
from shop_order.web.context import RequestContext
from shop_order.web.dto.cursors import Cursors
from shop_order.web.grpc.chain import Methods, decoding
from shop_order.web.grpc.convert import (
    address_of,
    not_negative,
    order_info,
    order_sn_of,
    order_status,
    page_of,
    payment_info,
    payment_type_of,
    status_of,
    timestamp_ms,
)
from shop_order.web.grpc.refunds import RefundHandlers
from shop_order.web.grpc.streams import Responses, bidi_stream

SERVICE = "order.OrderService"


@dataclass(frozen=True)
class Handlers:
    """What both order services do in the same way.

    `cashier_link` returns an order's payment link, empty unless the order is pending.
    """

    use_cases: UseCases
    cashier_link: Callable[[Order], str]
    cursors: Cursors

    async def _place(self, command: PlaceOrder, context: RequestContext) -> Order:
        outcome = await self.use_cases.placing.place(context.caller, command)
        context.replayed = outcome.replayed
        return outcome.result

    async def _pay(self, request: pb.PayOrderRequest | OrderPayRequest, context: RequestContext) -> Payment:
        actor = context.caller
        context.owner(request.user_id)
        command = PayOrder(
            order_sn=order_sn_of(request.order_sn),
            payment_type=payment_type_of(request.payment_type),
            trade_type=request.trade_type,
            return_url=request.return_url,
            payer=payer_of(request, context),
            key=context.idempotency_key(request.idempotency_key),
        )
        outcome = await self.use_cases.payments.pay(actor, command)
        context.replayed = outcome.replayed
        return outcome.result.payment


class OrderServiceHandlers(Handlers):
    """The methods of 9.1."""

    def methods(self) -> Methods:
        """Every method of the service by its name."""
        return Methods(
            SERVICE,
            unary={
                "CreateOrder": decoding(pb.CreateOrderRequest, self.create_order),
                "GetOrder": decoding(pb.GetOrderRequest, self.get_order),
                "GetOrderByOrderSn": decoding(pb.GetOrderByOrderSnRequest, self.get_order_by_order_sn),
                "ListOrders": decoding(pb.ListOrdersRequest, self.list_orders),
                "CancelOrder": decoding(pb.CancelOrderRequest, self.cancel_order),
                "PayOrder": decoding(pb.PayOrderRequest, self.pay_order),
                "GetPaymentInfo": decoding(pb.GetPaymentInfoRequest, self.get_payment_info),
                "NotifyPayment": decoding(
                    pb.NotifyPaymentRequest, self.notify_payment, max_bytes=MAX_MESSAGE
                ),
                "CheckOrderStatus": decoding(pb.CheckOrderStatusRequest, self.check_order_status),
                "ShipOrder": decoding(pb.ShipOrderRequest, self.ship_order),
                "ConfirmReceipt": decoding(pb.ConfirmReceiptRequest, self.confirm_receipt),
                **RefundHandlers(self.use_cases.refunds, self.cursors).methods(),
            },
            bidi_streams={"WatchOrderStatus": bidi_stream(pb.WatchOrderStatusRequest, unimplemented_stream)},
        )

    async def create_order(self, request: pb.CreateOrderRequest, context: RequestContext) -> pb.OrderInfo:
        """Buy the listed items."""
        context.owner(request.user_id)
        command = PlaceOrder(
            address_of(request.address),
            lines_of((item.product_id, item.quantity) for item in request.items),
            note=request.remark,
            pay_type=payment_type_of(request.payment_type),
            coupon_id=request.coupon_id,
            quote_token=request.quote_token,
            expected_fen=not_negative("expected_total_fen", request.expected_total_fen) or None,
            key=context.idempotency_key(request.idempotency_key),
            return_url=request.return_url,
            cancel_url=request.cancel_url,
        )
        return self._order_info(await self._place(command, context))

    async def get_order(self, request: pb.GetOrderRequest, context: RequestContext) -> pb.OrderInfo:
        """The order with this id."""
        owner = context.owner(request.user_id)
        return self._order_info(
            await self.use_cases.orders.get_by_id(context.caller, request.id, owner=owner)
        )

    async def get_order_by_order_sn(
        self, request: pb.GetOrderByOrderSnRequest, context: RequestContext
    ) -> pb.OrderInfo:
        """The order with this number."""
        owner = context.owner(request.user_id)
        order_sn = order_sn_of(request.order_sn)
        return self._order_info(await self.use_cases.orders.get(context.caller, order_sn, owner=owner))

    async def list_orders(
        self, request: pb.ListOrdersRequest, context: RequestContext
    ) -> pb.OrderListResponse:
        """A page of orders, newest first."""
        actor = context.caller
        where = OrderFilter(
            user=context.owner(request.user_id) or None,
            status=status_of(request.status),
            start_ms=timestamp_ms("start_time", request.start_time)
            if request.HasField("start_time")
            else None,
            end_ms=timestamp_ms("end_time", request.end_time) if request.HasField("end_time") else None,
        )
        page, page_size = page_of(request.page, request.page_size)
        after = self.cursors.open(actor, where, request.cursor)
        found = await self.use_cases.orders.list(actor, where, page=page, page_size=page_size, after=after)
        return pb.OrderListResponse(
            total=found.total,
            orders=[self._order_info(order) for order in found.orders],
            next_cursor=self.cursors.seal(actor, where, found.next),
            total_is_capped=found.total_is_capped,
        )

    async def cancel_order(self, request: pb.CancelOrderRequest, context: RequestContext) -> Empty:
        """Cancel an unpaid order, or as an admin refund a paid one."""
        owner = context.owner(request.user_id)
        order_sn = order_sn_of(request.order_sn)
        await self.use_cases.orders.cancel(context.caller, order_sn, request.reason, owner=owner)
        return Empty()

    async def pay_order(self, request: pb.PayOrderRequest, context: RequestContext) -> pb.PaymentInfo:
        """Open a payment attempt, or reuse the open one."""
        return payment_info(await self._pay(request, context))

    async def get_payment_info(
        self, request: pb.GetPaymentInfoRequest, context: RequestContext
    ) -> pb.PaymentInfo:
        """The attempt that paid the order, otherwise the latest."""
        owner = context.owner(request.user_id)
        order_sn = order_sn_of(request.order_sn)
        return payment_info(
            (await self.use_cases.payments.get_payment(context.caller, order_sn, owner=owner)).payment
        )

    async def notify_payment(self, request: pb.NotifyPaymentRequest, context: RequestContext) -> Empty:
        """Handle a payment reported by our payment gateway, authenticated by its signature."""
        notice = notify_payment(
            order_sn=request.order_sn,
            payment_sn=request.payment_sn,
            trade_no=request.trade_no,
            payment_type=request.payment_type,
            amount=request.amount,
            amount_fen=request.amount_fen,
            sign=request.sign,
        )
        await self.use_cases.payments.gateway_notice(notice)
        return Empty()

    async def check_order_status(
        self, request: pb.CheckOrderStatusRequest, context: RequestContext
    ) -> pb.OrderStatusResponse:
        """The status of an order and its display name."""
        order = await self.use_cases.orders.get(context.caller, order_sn_of(request.order_sn))
        return order_status(order, context.language)

    async def ship_order(self, request: pb.ShipOrderRequest, context: RequestContext) -> pb.OrderInfo:
        """Ship the order."""
        order_sn = order_sn_of(request.order_sn)
        if request.items:
            raise InvalidArgument("items", "not_supported")
        company, no = request.logistics_company, request.logistics_no
        return self._order_info(await self.use_cases.orders.ship(context.caller, order_sn, company, no))

    async def confirm_receipt(
        self, request: pb.ConfirmReceiptRequest, context: RequestContext
    ) -> pb.OrderInfo:
        """Confirm that the buyer has received the order."""
        return self._order_info(
            await self.use_cases.orders.confirm(context.caller, order_sn_of(request.order_sn))
        )

    def _order_info(self, order: Order) -> pb.OrderInfo:
        return order_info(order, self.cashier_link(order))


def unimplemented_stream(requests: AsyncIterator[Message], context: RequestContext) -> Responses:
    """A published stream that is not implemented yet. Raises Unimplemented."""
    raise Unimplemented


def payer_of(request: pb.PayOrderRequest | OrderPayRequest, context: RequestContext) -> Payer:
    """Who pays. A service calls from its own address and sends the buyer's. Raises InvalidArgument."""
    if context.caller.role is not Role.SERVICE:
        return Payer(request.openid, context.client_ip())
    try:
        if "%" in request.client_ip:
            raise ValueError("a zone names our network, not the buyer's")
        return Payer(request.openid, request.client_ip and str(ip_address(request.client_ip)))
    except ValueError:
        raise InvalidArgument("client_ip", "invalid") from None
