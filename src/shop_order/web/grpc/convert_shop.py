"""From the domain to the messages of specification 3; times are RFC 3339 with the offset of China."""

from __future__ import annotations

import json
from collections.abc import Sequence

from shop_order.api.proto import shop_order_pb2 as pb
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.event.order_events import Event
from shop_order.service.cart import CartLineView, CartView
from shop_order.web.grpc.convert import pay_action
from shop_order.web.messages import action_text
from shop_order.web.times import rfc3339

_MOST_INT32 = 2**31 - 1


def cart_line(view: CartLineView, user: int) -> pb.ShoppingCartInfo:
    """A line of the cart beside its goods as they are now; empty name and price when they were deleted."""
    line, goods = view.line, view.goods
    info = pb.ShoppingCartInfo(
        id=line.id,
        user_id=user,
        goods_id=line.goods,
        nums=line.nums,
        checked=line.checked,
        stocks=min(view.stocks, _MOST_INT32),
    )
    if goods is not None:
        info.goods_name, info.goods_image = goods.name, goods.image
        info.goods_price, info.price_fen = goods.price_fen / 100, goods.price_fen
        info.on_sale = goods.on_sale
    return info


def cart(view: CartView) -> pb.CartItemListResponse:
    """The whole cart."""
    return pb.CartItemListResponse(
        total=len(view.lines),
        data=[cart_line(line, view.user) for line in view.lines],
        checked_total_fen=view.checked_total_fen,
        checked_freight_fen=view.checked_freight_fen,
    )


def order_info(order: Order, pay_url: str) -> pb.OrderInfoResponse:
    """The order without its items; `total` is what is to be paid."""
    address, shown = order.address, order.shown_payment()
    return pb.OrderInfoResponse(
        id=order.id,
        user_id=order.user,
        order_sn=order.order_sn,
        pay_type=order.pay_type.code,
        status=order.status,
        post=address.post,
        total=order.pay_fen / 100,
        address=f"{address.province}{address.city}{address.district}{address.detail}",
        name=address.name,
        mobile=address.phone,
        add_time=rfc3339(order.created_ms),
        pay_url=pay_url,
        note=order.note,
        total_fen=order.pay_fen,
        pay_time=rfc3339(order.pay_ms),
        trade_no=order.trade_no,
        expire_at=rfc3339(order.expire_ms),
        refund_status=order.refund_status,
        freight_fen=order.freight_fen,
        discount_fen=order.discount_fen,
        version=order.version,
        payment_sn=shown.payment_sn if shown else "",
        cancel_reason=order.why_cancelled,
        cancel_code=order.cancel_code,
    )


def order_detail(order: Order, pay_url: str, history: Sequence[Event]) -> pb.OrderInfoDetailResponse:
    """The order with items, parcel, history and payments."""
    attempts = sorted(order.payments.values(), key=lambda p: (p.created_ms, p.payment_sn))
    return pb.OrderInfoDetailResponse(
        order_info=order_info(order, pay_url),
        goods=[
            pb.OrderItemResponse(
                id=item.id,
                order_id=order.id,
                goods_id=item.goods,
                goods_name=item.goods_name,
                goods_image=item.goods_image,
                goods_price=item.price_fen / 100,
                nums=item.nums,
                price_fen=item.price_fen,
            )
            for item in order.items
        ],
        logistics=[pb.Logistics(company=order.logistics_company, no=order.logistics_no)]
        if order.shipped_ms
        else [],
        logs=[log_entry(event) for event in history],
        payments=[payment_info(payment) for payment in attempts],
    )


def log_entry(event: Event) -> pb.OrderLogEntry:
    """One line of the order log (specification 6.4)."""
    data = json.loads(event.payload)
    return pb.OrderLogEntry(
        action=action_text(event.type),
        old_status=data["old_status"],
        new_status=data["new_status"],
        operator=data["operator"],
        operator_id=data["operator_id"],
        reason=data["reason"],
        timestamp=rfc3339(event.created_ms),
    )


def payment_info(payment: Payment) -> pb.OrderPayResponse:
    """The attempt as it is now; its link only while it may still be paid."""
    payment_url, jsapi_params = pay_action(payment)
    return pb.OrderPayResponse(
        payment_sn=payment.payment_sn,
        order_sn=payment.order_sn,
        user_id=payment.user,
        amount=payment.amount_fen / 100,
        payment_type=payment.payment_type,
        status=payment.state.wire,
        payment_url=payment_url,
        jsapi_params=jsapi_params,
        created_at=rfc3339(payment.created_ms),
        paid_at=rfc3339(payment.paid_ms),
        amount_fen=payment.amount_fen,
        expire_at=rfc3339(payment.expire_ms),
    )
