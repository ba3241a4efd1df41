"""Placing orders and looking at them (specification 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.address import Address
from shop_order.domain.valueobject.item import Line, lines_of
from shop_order.pkg.signing import SubmitTokens
from shop_order.service.order import MOST_PAGE, OrderService, buyer
from shop_order.service.placing import PlaceOrder
from shop_order.web.cashier import CashierLinks
from shop_order.web.context import log_order_sn
from shop_order.web.dto.answers import (
    LogData,
    OrderData,
    OrderDetailData,
    OrderListData,
    OrderStatusData,
    SubmitTokenData,
)
from shop_order.web.dto.fields import IdempotencyKey, OrderSn, Owner, Status, TimeMs
from shop_order.web.dto.requests import CancelBody, ConfirmBody, PlaceOrderBody
from shop_order.web.dto.wire import Cursors
from shop_order.web.handler.answer import context, success
from shop_order.web.handler.route import links, operation

TAG = "orders"
MAX_LISTED_ITEMS = 5  # of each order in a list; `items_total` has their number
_LEADS_TO = (
    "getOrder",
    "getOrderStatus",
    "cancelOrder",
    "payOrder",
    "getPayment",
    "shipOrder",
    "confirmReceipt",
)


class OrderHandler:
    """Routes below /orders, except paying."""

    def __init__(
        self,
        *,
        orders: OrderService,
        tokens: SubmitTokens,
        cursors: Cursors,
        links: CashierLinks,
        real_now_s: Callable[[], float],
    ) -> None:
        self._orders = orders
        self._tokens = tokens
        self._cursors = cursors
        self._links = links
        self._real_now_s = real_now_s

    @operation(
        "POST",
        "/api/v1/orders/token",
        id="createSubmitToken",
        tag=TAG,
        summary="获取提交令牌 / A submit token",
        description="作为 Idempotency-Key 发送，一张表单只生效一次，一小时内有效。\n\n"
        "Send it as Idempotency-Key: the form then works once. Valid for one hour.",
        data=SubmitTokenData,
    )
    async def token(self) -> Response:
        """A token for one submit."""
        now_s = self._real_now_s()
        token = self._tokens.mint(buyer(context().caller), now_s)
        expires_ms = (int(now_s) + self._tokens.ttl_s) * 1000
        return success(SubmitTokenData.of(expires_ms, token=token), "令牌已生成", "a token was made")

    @operation(
        "POST",
        "/api/v1/orders",
        id="createOrder",
        tag=TAG,
        summary="创建订单 / Place an order",
        description='`{"from": "cart"}` 购买购物车中已勾选的商品；或用 `items` 直接购买。'
        "价格以下单时为准。\n\n"
        "Buys the checked cart lines, or the listed items, at today's prices. Stock is reserved; "
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
        extra=links("order_sn", "$response.body#/data/order_sn", *_LEADS_TO),
    )
    async def place(self, body: PlaceOrderBody, idempotency_key: IdempotencyKey = "") -> Response:
        """Place an order."""
        it = context()
        actor = it.caller
        buyer(actor)
        it.owner(body.user_id)
        command = PlaceOrder(
            address=_address(body),
            lines=_lines(body),
            note=body.note,
            pay_type=body.pay_type or PaymentType.NOT_CHOSEN,
            coupon_id=body.coupon_id,
            quote_token=body.quote_token,
            expected_fen=body.expected_total_fen,
            key=it.key,
            return_url=body.return_url,
            cancel_url=body.cancel_url,
        )
        outcome = await self._orders.place(actor, command)
        it.replayed = outcome.replayed
        log_order_sn(outcome.result.order_sn)
        return self._answer(outcome.result, "订单创建成功", "the order was placed")

    @operation(
        "GET",
        "/api/v1/orders",
        id="listOrders",
        tag=TAG,
        summary="订单列表 / Orders",
        description="按创建时间倒序；最多翻到 10000 条，之后用 cursor。时间区间含起点不含终点。"
        "每个订单只列前 5 项商品，`items_total` 为总项数；请求频率按应答大小计。\n\n"
        "Newest first; pages end at 10,000 rows, then use `cursor`. start <= created < end. Each order has "
        "its first 5 items, and `items_total` says how many there are; large answers count as several calls.",
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
        page: Annotated[int, Query(ge=1, description="从 1 开始 / From 1")] = 1,
        page_size: Annotated[int, Query(ge=1, description="大于 100 按 100 / Above 100: 100")] = 20,
        cursor: Annotated[str, Query(max_length=256, description="上一页的 next_cursor")] = "",
    ) -> Response:
        """A page of orders."""
        it = context()
        owner = it.owner(user_id)
        where = OrderFilter(
            owner or None, OrderStatus(status) if status else None, order_sn, start_time, end_time
        )
        after = self._cursors.open(it.caller, where, cursor)
        page_size = min(page_size, MOST_PAGE)
        found = await self._orders.list(
            it.caller, where, page=page, page_size=page_size, after=after, most_items=MAX_LISTED_ITEMS
        )
        data = OrderListData.of(
            found,
            items=[self._listed(order, found.items_total) for order in found.orders],
            page=page,
            page_size=page_size,
            next_cursor=self._cursors.seal(it.caller, where, found.next) or None,
        )
        return success(data, "成功", "ok")

    @operation(
        "GET",
        "/api/v1/orders/{order_sn}",
        id="getOrder",
        tag=TAG,
        summary="订单详情 / An order",
        description="含商品、历史与支付记录。\n\nWith items, history and payments.",
        data=OrderDetailData,
        errors=(OrderNotFound, NotYourself),
    )
    async def detail(self, order_sn: OrderSn, user_id: Owner = None) -> Response:
        """An order with items, history and payments."""
        it = context()
        order = await self._orders.get(it.caller, order_sn, owner=it.owner(user_id))
        history = await self._orders.history(order)
        logs = [LogData.of(entry_of(event)) for event in history]
        data = OrderDetailData.of(order, it.language, pay_url=self._links.of(order) or None, logs=logs)
        return success(data, "成功", "ok")

    @operation(
        "GET",
        "/api/v1/orders/{order_sn}/status",
        id="getOrderStatus",
        tag=TAG,
        summary="订单状态 / Its status",
        description="轮询用的少量字段。\n\nThe few fields a page polls.",
        data=OrderStatusData,
        errors=(OrderNotFound, NotYourself),
    )
    async def status(self, order_sn: OrderSn, user_id: Owner = None) -> Response:
        """An order's status."""
        it = context()
        order = await self._orders.get(it.caller, order_sn, owner=it.owner(user_id))
        return success(OrderStatusData.of(order, it.language), "成功", "ok")

    @operation(
        "POST",
        "/api/v1/orders/{order_sn}/cancel",
        id="cancelOrder",
        tag=TAG,
        summary="取消订单 / Cancel",
        description="仅待支付订单；已支付请申请退款（`USE_REFUND`）。重复取消不报错。\n\n"
        "Pending orders only; a paid one is `USE_REFUND`. Again is no error.",
        data=OrderData,
        errors=(OrderNotFound, NotYourself, UseRefund, IllegalTransition, StateChanged, TooMuchContention),
    )
    async def cancel(self, order_sn: OrderSn, body: CancelBody | None = None) -> Response:
        """Cancel an unpaid order."""
        body = body or CancelBody()
        it = context()
        owner = it.owner(body.user_id)
        order = await self._orders.cancel(
            it.caller, order_sn, body.reason, owner=owner, expected=_expected(body.expected_status)
        )
        return self._answer(order, "订单已取消", "the order was cancelled")

    @operation(
        "POST",
        "/api/v1/orders/{order_sn}/confirm",
        id="confirmReceipt",
        tag=TAG,
        summary="确认收货 / Confirm receipt",
        description="重复确认不报错。\n\nAgain is no error.",
        data=OrderData,
        errors=(OrderNotFound, NotYourself, IllegalTransition, RefundOpen, StateChanged, TooMuchContention),
    )
    async def confirm(self, order_sn: OrderSn, body: ConfirmBody | None = None) -> Response:
        """Confirm that the buyer has received the order."""
        body = body or ConfirmBody()
        it = context()
        it.owner(body.user_id)
        order = await self._orders.confirm(it.caller, order_sn, expected=_expected(body.expected_status))
        return self._answer(order, "已确认收货", "receipt was confirmed")

    def _answer(self, order: Order, zh: str, en: str) -> Response:
        data = OrderData.of(order, context().language, pay_url=self._links.of(order) or None)
        return success(data, zh, en)

    def _listed(self, order: Order, items_total: Mapping[int, int]) -> dict[str, Any]:
        link = self._links.of(order) or None
        total = items_total.get(order.id, len(order.items))
        return OrderData.of(order, context().language, pay_url=link, items_total=total)


def _address(body: PlaceOrderBody) -> Address | int:
    if body.address is not None and body.address_id is None:
        with inside("address"):
            return Address(**body.address.model_dump())
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
