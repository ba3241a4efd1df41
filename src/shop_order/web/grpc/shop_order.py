"""`shop.order.Order` (specification 3): decode, call one use case, encode."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from shop_order.api.proto import shop_order_pb2 as pb
from shop_order.domain.entity.order import Order
from shop_order.domain.errors import InvalidArgument, OrderNotFound, inside
from shop_order.domain.ports import OrderFilter
from shop_order.domain.valueobject.parties import Actor, PostalAddress
from shop_order.service.notice import MAX_MESSAGE, pay_callback
from shop_order.service.place import PlaceOrder
from shop_order.web.context import RequestContext, log_order_sn
from shop_order.web.dto.fields import time_ms
from shop_order.web.grpc import convert
from shop_order.web.grpc.chain import Methods, decoding
from shop_order.web.grpc.convert import (
    not_negative,
    order_sn_of,
    page_of,
    payment_type_of,
    payment_type_of_code,
    status_of,
)
from shop_order.web.grpc.order_service import Handlers

SERVICE = "shop.order.Order"
_UNSIGNED = frozenset({"sign", "amount", "raw_body", "headers"})


class ShopOrderHandlers(Handlers):
    """The eleven methods of chapter 3, on the same use cases as 9.1 and REST."""

    def methods(self) -> Methods:
        """Every method of the service by its name."""
        return Methods(
            SERVICE,
            unary={
                "AddShoppingCart": decoding(pb.CartItemRequest, self.add_shopping_cart),
                "UpdateShoppingCart": decoding(pb.CartItemRequest, self.update_shopping_cart),
                "DeleteShoppingCart": decoding(pb.CartItemRequest, self.delete_shopping_cart),
                "GetShoppingCart": decoding(pb.UserInfo, self.get_shopping_cart),
                "UpdateCartItemCheck": decoding(pb.CartItemRequest, self.update_cart_item_check),
                "CreateOrder": decoding(pb.OrderRequest, self.create_order),
                "OrderList": decoding(pb.OrderFilterRequest, self.order_list),
                "OrderDetail": decoding(pb.OrderRequest, self.order_detail),
                "UpdateOrderStatus": decoding(pb.OrderStatus, self.update_order_status),
                "PayOrder": decoding(pb.OrderPayRequest, self.pay_order),
                "OrderPayCallback": decoding(
                    pb.OrderPayCallbackRequest, self.order_pay_callback, max_bytes=MAX_MESSAGE
                ),
            },
        )

    # ---- cart ----

    async def add_shopping_cart(
        self, request: pb.CartItemRequest, context: RequestContext
    ) -> pb.ShoppingCartInfo:
        """Add goods to the cart."""
        actor = _own(context, request.user_id)
        nums = request.nums if request.HasField("nums") else 1
        checked = request.checked if request.HasField("checked") else True
        line = await self.use_cases.carts.add(actor, request.goods_id, nums, checked=checked)
        return convert.shop_cart_line(line, actor.user_id)

    async def update_shopping_cart(self, request: pb.CartItemRequest, context: RequestContext) -> Empty:
        """Set the quantity or the check mark of a line; absent fields are unchanged."""
        await self.use_cases.carts.update(
            _own(context, request.user_id),
            request.goods_id,
            id=request.id,
            nums=request.nums if request.HasField("nums") else None,
            checked=request.checked if request.HasField("checked") else None,
        )
        return Empty()

    async def delete_shopping_cart(self, request: pb.CartItemRequest, context: RequestContext) -> Empty:
        """Remove a line. Idempotent."""
        await self.use_cases.carts.remove(_own(context, request.user_id), request.goods_id, id=request.id)
        return Empty()

    async def get_shopping_cart(
        self, request: pb.UserInfo, context: RequestContext
    ) -> pb.CartItemListResponse:
        """The cart with current goods and stock."""
        return convert.shop_cart(await self.use_cases.carts.view(_own(context, request.id)))

    async def update_cart_item_check(self, request: pb.CartItemRequest, context: RequestContext) -> Empty:
        """Set the check mark of one line, or of all lines if neither goods_id nor id is given."""
        actor = _own(context, request.user_id)
        if not request.HasField("checked"):
            raise InvalidArgument("checked", "required")
        await self.use_cases.carts.check(actor, request.checked, goods=request.goods_id, id=request.id)
        return Empty()

    # ---- orders ----

    async def create_order(self, request: pb.OrderRequest, context: RequestContext) -> pb.OrderInfoResponse:
        """Check out the checked lines of the cart."""
        context.owner(request.user_id)
        given = request.HasField("expected_total_fen")
        with inside("address"):
            address = PostalAddress(
                name=request.name,
                phone=request.mobile,
                detail=request.address,
                province=request.province,
                city=request.city,
                district=request.district,
                post=request.post,
            )
        command = PlaceOrder(
            address,
            note=request.note,
            pay_type=payment_type_of_code(request.pay_type),
            coupon_id=request.coupon_id,
            quote_token=request.quote_token,
            expected_fen=not_negative("expected_total_fen", request.expected_total_fen) if given else None,
            key=context.idempotency_key(request.idempotency_key),
            return_url=request.return_url,
            cancel_url=request.cancel_url,
        )
        return self._order_info(await self._place(command, context))

    async def order_list(
        self, request: pb.OrderFilterRequest, context: RequestContext
    ) -> pb.OrderListResponse:
        """A page of orders, newest first."""
        actor = context.caller
        where = OrderFilter(
            user=context.owner(request.user_id) or None,
            status=status_of(request.status),
            order_sn=order_sn_of(request.order_sn) if request.order_sn else None,
            start_ms=time_ms("start_time", request.start_time),
            end_ms=time_ms("end_time", request.end_time),
        )
        page, page_size = page_of(request.pages, request.page_per_nums)
        after = self.cursors.open(actor, where, request.cursor)
        # The response has no items, so as few as possible are read.
        found = await self.use_cases.orders.list(
            actor, where, page=page, page_size=page_size, after=after, max_items=1
        )
        return pb.OrderListResponse(
            total=found.total,
            data=[self._order_info(order) for order in found.orders],
            next_cursor=self.cursors.seal(actor, where, found.next),
            total_is_capped=found.total_is_capped,
        )

    async def order_detail(
        self, request: pb.OrderRequest, context: RequestContext
    ) -> pb.OrderInfoDetailResponse:
        """The order with items, history and payments, by number or id; if both are given, both must match."""
        owner = context.owner(request.user_id)
        order = await self._found(context.caller, request.order_sn, request.id, owner)
        return convert.shop_order_detail(
            order, self.cashier_link(order), await self.use_cases.orders.history(order)
        )

    async def update_order_status(self, request: pb.OrderStatus, context: RequestContext) -> Empty:
        """Cancel, ship or complete an order; only a payment can make it paid."""
        to = status_of(request.status)
        if to is None:
            raise InvalidArgument("status", "required")
        order_sn = request.order_sn
        if request.id or not order_sn:
            order_sn = (await self._found(context.caller, order_sn, request.id, 0)).order_sn
        await self.use_cases.orders.update_status(
            context.caller,
            order_sn_of(order_sn),
            to,
            expected=status_of(request.expected_status, "expected_status"),
            reason=request.reason,
            logistics=(request.logistics_company, request.logistics_no),
        )
        return Empty()

    # ---- payments ----

    async def pay_order(self, request: pb.OrderPayRequest, context: RequestContext) -> pb.OrderPayResponse:
        """Open a payment attempt, or reuse the open one."""
        return convert.shop_payment(await self._pay(request, context))

    async def order_pay_callback(self, request: pb.OrderPayCallbackRequest, context: RequestContext) -> Empty:
        """Handle a provider's notice, forwarded byte for byte, or a notice signed by our payment gateway."""
        if request.raw_body:
            provider = payment_type_of(request.payment_type)
            log_order_sn(
                await self.use_cases.payments.provider_notice(provider, request.raw_body, request.headers)
            )
            return Empty()
        notice = pay_callback(_set_fields(request), sign=request.sign, amount=request.amount)
        await self.use_cases.payments.gateway_notice(notice)
        return Empty()

    async def _found(self, actor: Actor, order_sn: str, id: int, owner: int) -> Order:
        if id < 0 or not (id or order_sn):
            raise InvalidArgument("id", "not_an_id")
        if not order_sn:
            return await self.use_cases.orders.get_by_id(actor, id, owner=owner)
        order = await self.use_cases.orders.get(actor, order_sn_of(order_sn), owner=owner)
        if id and order.id != id:
            raise OrderNotFound
        return order

    def _order_info(self, order: Order) -> pb.OrderInfoResponse:
        return convert.shop_order(order, self.cashier_link(order))


def _own(context: RequestContext, user_id: int) -> Actor:
    """The caller. Raises NotYourself if `user_id` is another user."""
    context.owner(user_id)
    return context.caller


def _set_fields(request: pb.OrderPayCallbackRequest) -> dict[str, str]:
    """The signed fields: every field that is set, as text (contract, chapter 4)."""
    return {field.name: str(value) for field, value in request.ListFields() if field.name not in _UNSIGNED}
