"""Order routes (specification 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import Response

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import (
    AddressNotFound,
    CartChanged,
    ChannelUnavailable,
    CouponUnknown,
    EmptyOrder,
    GoodsUnavailable,
    IllegalTransition,
    InvalidArgument,
    KeyReused,
    NotYourself,
    OrderNotFound,
    OutOfStock,
    PageTooDeep,
    PlacingGivenUp,
    PriceChanged,
    QuoteUnknown,
    RefundOpen,
    StateChanged,
    TooManyUnpaid,
    TooMuchContention,
    UseRefund,
    inside,
)
from shop_order.domain.order_log import entry_of
from shop_order.domain.ports import OrderFilter
from shop_order.domain.refund_errors import NotRefundable
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import Line, lines_of
from shop_order.domain.valueobject.parties import PostalAddress
from shop_order.pkg.signing import SubmitTokens
from shop_order.service.order import MAX_PAGE_SIZE
from shop_order.service.place import PlaceOrder
from shop_order.service.use_cases import UseCases
from shop_order.web.auth.cashier_links import CashierLinks
from shop_order.web.context import context, log_order_sn
from shop_order.web.dto.cursors import Cursors
from shop_order.web.dto.fields import IdempotencyKey, OrderSn, Owner, Status, TimeMs
from shop_order.web.dto.requests import CancelBody, ConfirmBody, PlaceOrderBody
from shop_order.web.dto.responses import (
    LogData,
    OrderData,
    OrderDetailData,
    OrderListData,
    OrderStatusData,
    SubmitTokenData,
)
from shop_order.web.handler.refund import cancel_words
from shop_order.web.handler.route import links, operation, success

TAG = "orders"
MAX_LISTED_ITEMS = 5  # items of each order in a list; `items_total` is their number
_LINKED_OPERATIONS = (
    "getOrder",
    "getOrderStatus",
    "cancelOrder",
    "payOrder",
    "getPayment",
    "shipOrder",
    "confirmReceipt",
    "requestRefund",
)


@dataclass(frozen=True)
class OrderHandler:
    """Routes below /orders, except paying."""

    use_cases: UseCases
    tokens: SubmitTokens
    cursors: Cursors
    cashier_links: CashierLinks
    real_now_s: Callable[[], float]

    @operation(
        "POST",
        "/api/v1/orders/token",
        id="createSubmitToken",
        tag=TAG,
        summary="获取提交令牌 / Create a submit token",
        description="作为 Idempotency-Key 发送，一张表单只生效一次，一小时内有效。\n\n"
        "Send it as Idempotency-Key, so that a form takes effect once. Valid for one hour.",
        data=SubmitTokenData,
    )
    async def token(self) -> Response:
        """Create a submit token."""
        now_s = self.real_now_s()
        token = self.tokens.mint(context().caller.buyer_id(), now_s)
        expires_ms = (int(now_s) + self.tokens.ttl_s) * 1000
        return success(SubmitTokenData.of(expires_ms, token=token), "令牌已生成", "token created")

    @operation(
        "POST",
        "/api/v1/orders",
        id="createOrder",
        tag=TAG,
        summary="创建订单 / Create an order",
        description='`{"from": "cart"}` 购买购物车中已勾选的商品；或用 `items` 直接购买。'
        "价格以下单时为准。\n\n"
        "Buys the checked lines of the cart, or the listed items, at current prices. Stock is reserved; "
        "pay at `pay_url` before `expire_at`.",
        data=OrderData,
        errors=(
            EmptyOrder,
            NotYourself,
            AddressNotFound,
            GoodsUnavailable,
            OutOfStock,
            PriceChanged,
            QuoteUnknown,
            CouponUnknown,
            ChannelUnavailable,
            TooManyUnpaid,
            CartChanged,
            PlacingGivenUp,
            TooMuchContention,
            KeyReused,
        ),
        extra=links("order_sn", "$response.body#/data/order_sn", *_LINKED_OPERATIONS),
    )
    async def place(self, body: PlaceOrderBody, idempotency_key: IdempotencyKey = "") -> Response:
        """Place an order."""
        ctx = context()
        actor = ctx.caller
        actor.buyer_id()
        ctx.owner(body.user_id)
        command = PlaceOrder(
            address=_address(body),
            lines=_lines(body),
            note=body.note,
            pay_type=body.pay_type or PaymentType.NOT_CHOSEN,
            coupon_id=body.coupon_id,
            quote_token=body.quote_token,
            expected_fen=body.expected_total_fen,
            key=ctx.key,
            return_url=body.return_url,
            cancel_url=body.cancel_url,
        )
        outcome = await self.use_cases.placing.place(actor, command)
        ctx.replayed = outcome.replayed
        log_order_sn(outcome.result.order_sn)
        return self._respond(outcome.result, "订单创建成功", "order created")

    @operation(
        "GET",
        "/api/v1/orders",
        id="listOrders",
        tag=TAG,
        summary="订单列表 / List orders",
        description="按创建时间倒序；最多翻到第 10000 条，之后请用 cursor。时间区间含起点不含终点。"
        "每个订单只列前 5 项商品，`items_total` 为总项数；响应越大，计入限流的次数越多。\n\n"
        "Newest first. Pages end at 10,000 rows; use `cursor` to continue. start_time <= created < end_time. "
        "Each order has its first 5 items, and `items_total` is their number. Large responses count as "
        "several calls.",
        data=OrderListData,
        errors=(PageTooDeep, NotYourself),
    )
    async def list(
        self,
        status: Annotated[Status | None, Query(description="订单状态 / Status")] = None,
        order_sn: OrderSn | None = None,
        start_time: TimeMs | None = None,
        end_time: TimeMs | None = None,
        user_id: Owner = None,
        page: Annotated[int, Query(ge=1, description="从 1 开始 / Starts at 1")] = 1,
        page_size: Annotated[int, Query(ge=1, description="超过 100 按 100 计 / At most 100")] = 20,
        cursor: Annotated[
            str, Query(max_length=256, description="上一页的 next_cursor / next_cursor of the previous page")
        ] = "",
    ) -> Response:
        """A page of orders."""
        ctx = context()
        owner = ctx.owner(user_id)
        where = OrderFilter(
            owner or None, OrderStatus(status) if status else None, order_sn, start_time, end_time
        )
        after = self.cursors.open(ctx.caller, where, cursor)
        page_size = min(page_size, MAX_PAGE_SIZE)
        found = await self.use_cases.orders.list(
            ctx.caller, where, page=page, page_size=page_size, after=after, max_items=MAX_LISTED_ITEMS
        )
        data = OrderListData.of(
            found,
            items=[self._listed(order, found.items_total) for order in found.orders],
            page=page,
            page_size=page_size,
            next_cursor=self.cursors.seal(ctx.caller, where, found.next) or None,
        )
        return success(data, "成功", "ok")

    @operation(
        "GET",
        "/api/v1/orders/{order_sn}",
        id="getOrder",
        tag=TAG,
        summary="订单详情 / Get an order",
        description="含商品、历史、支付与退款记录。\n\nWith items, history, payments and refunds.",
        data=OrderDetailData,
        errors=(OrderNotFound, NotYourself),
    )
    async def detail(self, order_sn: OrderSn, user_id: Owner = None) -> Response:
        """An order with items, history and payments."""
        ctx = context()
        order = await self.use_cases.orders.get(ctx.caller, order_sn, owner=ctx.owner(user_id))
        history = await self.use_cases.orders.history(order)
        logs = [LogData.of(entry_of(event)) for event in history]
        data = OrderDetailData.of(
            order, ctx.language, pay_url=self.cashier_links.of(order) or None, logs=logs
        )
        return success(data, "成功", "ok")

    @operation(
        "GET",
        "/api/v1/orders/{order_sn}/status",
        id="getOrderStatus",
        tag=TAG,
        summary="订单状态 / Get an order's status",
        description="供轮询使用的少量字段。\n\nA few fields, for polling.",
        data=OrderStatusData,
        errors=(OrderNotFound, NotYourself),
    )
    async def status(self, order_sn: OrderSn, user_id: Owner = None) -> Response:
        """An order's status."""
        ctx = context()
        order = await self.use_cases.orders.get(ctx.caller, order_sn, owner=ctx.owner(user_id))
        return success(OrderStatusData.of(order, ctx.language), "成功", "ok")

    @operation(
        "POST",
        "/api/v1/orders/{order_sn}/cancel",
        id="cancelOrder",
        tag=TAG,
        summary="取消订单 / Cancel an order",
        description="买家仅限待支付订单；已支付请申请退款（`USE_REFUND`）。可重复提交。\n\n"
        "Buyers can cancel pending orders only; for a paid order the error is `USE_REFUND`. Idempotent.",
        data=OrderData,
        errors=(
            OrderNotFound,
            NotYourself,
            UseRefund,
            NotRefundable,
            IllegalTransition,
            StateChanged,
            TooMuchContention,
        ),
    )
    async def cancel(self, order_sn: OrderSn, body: CancelBody | None = None) -> Response:
        """Cancel an unpaid order."""
        body = body or CancelBody()
        ctx = context()
        owner = ctx.owner(body.user_id)
        order = await self.use_cases.orders.cancel(
            ctx.caller, order_sn, body.reason, owner=owner, expected=_expected(body.expected_status)
        )
        return self._respond(order, *cancel_words(order))

    @operation(
        "POST",
        "/api/v1/orders/{order_sn}/confirm",
        id="confirmReceipt",
        tag=TAG,
        summary="确认收货 / Confirm receipt",
        description="可重复提交。\n\nIdempotent.",
        data=OrderData,
        errors=(OrderNotFound, NotYourself, IllegalTransition, RefundOpen, StateChanged, TooMuchContention),
    )
    async def confirm(self, order_sn: OrderSn, body: ConfirmBody | None = None) -> Response:
        """Confirm that the buyer has received the order."""
        body = body or ConfirmBody()
        ctx = context()
        ctx.owner(body.user_id)
        order = await self.use_cases.orders.confirm(
            ctx.caller, order_sn, expected=_expected(body.expected_status)
        )
        return self._respond(order, "已确认收货", "receipt confirmed")

    def _respond(self, order: Order, zh: str, en: str) -> Response:
        data = OrderData.of(order, context().language, pay_url=self.cashier_links.of(order) or None)
        return success(data, zh, en)

    def _listed(self, order: Order, items_total: Mapping[int, int]) -> dict[str, Any]:
        link = self.cashier_links.of(order) or None
        total = items_total.get(order.id, len(order.items))
        return OrderData.of(order, context().language, pay_url=link, items_total=total)


def _address(body: PlaceOrderBody) -> PostalAddress | int:
    if body.address is not None and body.address_id is None:
        with inside("address"):
            return PostalAddress(**body.address.model_dump())
    if body.address is None and body.address_id is not None:
        return body.address_id
    raise InvalidArgument("address", "one_of_two", other="address_id")


def _lines(body: PlaceOrderBody) -> tuple[Line, ...] | None:
    if (body.from_ is None) == (body.items is None):
        raise InvalidArgument("items", "one_of_two", other="from")
    if body.items is None:
        return None
    return lines_of((item.goods_id, item.nums) for item in body.items)


def _expected(status: int | None) -> OrderStatus | None:
    return None if status is None else OrderStatus(status)
