"""From the domain to the data of answers: plain dicts, so that the hot path meets no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import BridgeParameters, Done, Payment, QrCode, Redirect
from shop_order.domain.event.order_events import Event
from shop_order.domain.order_log import LogEntry
from shop_order.domain.status import OrderStatus
from shop_order.domain.valueobject.address import Address
from shop_order.domain.valueobject.item import OrderItem
from shop_order.pkg.util.money import yuan_of_fen
from shop_order.service.cart import CartLineView, CartView
from shop_order.service.statistics import Report, Sums
from shop_order.web.messages import Language, action_text, status_text
from shop_order.web.times import rfc3339


def cart(view: CartView) -> dict[str, Any]:
    """CartData."""
    return {
        "user_id": str(view.user),
        "version": view.version,
        "total": len(view.lines),
        "items": [cart_item(line) for line in view.lines],
        "checked_total_amount": yuan_of_fen(view.checked_total_fen),
        "checked_total_fen": view.checked_total_fen,
        "checked_freight_amount": yuan_of_fen(view.checked_freight_fen),
        "checked_freight_fen": view.checked_freight_fen,
    }


def cart_item(view: CartLineView) -> dict[str, Any]:
    """CartItemData."""
    line, goods = view.line, view.goods
    return {
        "id": str(line.id),
        "goods_id": str(line.goods),
        "nums": line.nums,
        "checked": line.checked,
        "goods_name": goods.name if goods else None,
        "goods_image": goods.image if goods else None,
        "price_amount": yuan_of_fen(goods.price_fen) if goods else None,
        "price_fen": goods.price_fen if goods else None,
        "on_sale": goods.on_sale if goods else False,
        "stocks": view.stocks,
        "orderable": view.orderable,
    }


def order(it: Order, language: Language, pay_url: str, *, items_total: int | None = None) -> dict[str, Any]:
    """OrderData; an empty `pay_url` is null. `items_total` where only the first items are at hand."""
    shown = it.shown_payment()
    return {
        "id": str(it.id),
        "user_id": str(it.user),
        "order_sn": it.order_sn,
        "status": int(it.status),
        "status_text": status_text(it.status, language),
        "pay_type": it.pay_type.code or None,
        "total_amount": yuan_of_fen(it.total_fen),
        "total_fen": it.total_fen,
        "discount_amount": yuan_of_fen(it.discount_fen),
        "discount_fen": it.discount_fen,
        "freight_amount": yuan_of_fen(it.freight_fen),
        "freight_fen": it.freight_fen,
        "pay_amount": yuan_of_fen(it.pay_fen),
        "pay_fen": it.pay_fen,
        "address": address(it.address),
        "note": it.note,
        "created_at": rfc3339(it.created_ms),
        "updated_at": rfc3339(it.updated_ms),
        "expire_at": rfc3339(it.expire_ms),
        "paid_at": rfc3339(it.pay_ms) or None,
        "shipped_at": rfc3339(it.shipped_ms) or None,
        "completed_at": rfc3339(it.completed_ms) or None,
        "trade_no": it.trade_no or None,
        "payment_sn": shown.payment_sn if shown else None,
        "refund_status": int(it.refund_status),
        "cancel_reason": it.why_cancelled or None,
        "cancel_code": it.cancel_code or None,
        "logistics": logistics(it),
        "version": it.version,
        "pay_url": pay_url or None,
        "items": [order_item(item) for item in it.items],
        "items_total": len(it.items) if items_total is None else items_total,
    }


def order_detail(it: Order, history: Sequence[Event], language: Language, pay_url: str) -> dict[str, Any]:
    """OrderDetailData."""
    attempts = sorted(it.payments.values(), key=lambda p: (p.created_ms, p.payment_sn))
    return order(it, language, pay_url) | {
        "return_url": it.return_url or None,
        "cancel_url": it.cancel_url or None,
        "logs": [log(event) for event in history],
        "payments": [payment(attempt) for attempt in attempts],
    }


def order_status(it: Order, language: Language) -> dict[str, Any]:
    """OrderStatusData."""
    return {
        "order_sn": it.order_sn,
        "status": int(it.status),
        "status_text": status_text(it.status, language),
        "refund_status": int(it.refund_status),
        "version": it.version,
        "updated_at": rfc3339(it.updated_ms),
        "expire_at": rfc3339(it.expire_ms),
    }


def address(it: Address) -> dict[str, Any]:
    """AddressData."""
    return {
        "name": it.name,
        "phone": it.phone,
        "province": it.province,
        "city": it.city,
        "district": it.district,
        "detail": it.detail,
        "post": it.post,
    }


def logistics(it: Order) -> dict[str, Any] | None:
    """LogisticsData, None before shipping."""
    if not it.shipped_ms:
        return None
    return {"company": it.logistics_company, "no": it.logistics_no}


def order_item(it: OrderItem) -> dict[str, Any]:
    """OrderItemData."""
    return {
        "id": str(it.id),
        "goods_id": str(it.goods),
        "goods_name": it.goods_name,
        "goods_image": it.goods_image,
        "price_amount": yuan_of_fen(it.price_fen),
        "price_fen": it.price_fen,
        "nums": it.nums,
        "total_amount": yuan_of_fen(it.total_fen),
        "total_fen": it.total_fen,
    }


def pay_action(it: Payment) -> dict[str, Any]:
    """What the buyer does to pay, while the attempt is open."""
    match it.action if it.is_open else Done():
        case Redirect(text) | QrCode(text):
            return {"payment_url": text, "jsapi_params": None}
        case BridgeParameters(values):
            return {"payment_url": None, "jsapi_params": dict(values)}
        case Done():
            return {"payment_url": None, "jsapi_params": None}


def payment(it: Payment) -> dict[str, Any]:
    """PaymentData."""
    return {
        "payment_sn": it.payment_sn,
        "order_sn": it.order_sn,
        "payment_type": it.payment_type.code,
        "trade_type": it.trade_type,
        "status": it.state.wire,
        "amount": yuan_of_fen(it.amount_fen),
        "amount_fen": it.amount_fen,
        "refunded_amount": yuan_of_fen(it.refunded_fen),
        "refunded_fen": it.refunded_fen,
        **pay_action(it),
        "trade_no": it.trade_no or None,
        "created_at": rfc3339(it.created_ms),
        "paid_at": rfc3339(it.paid_ms) or None,
        "expire_at": rfc3339(it.expire_ms),
    }


def log(event: Event) -> dict[str, Any]:
    """LogData."""
    data = json.loads(event.payload)
    return {
        "action": action_text(event.type),
        "old_status": data["old_status"],
        "new_status": data["new_status"],
        "operator": data["operator"],
        "operator_id": str(data["operator_id"]),
        "reason": data["reason"],
        "at": rfc3339(event.created_ms),
    }


def admin_log(entry: LogEntry) -> dict[str, Any]:
    """AdminLogData."""
    return {
        "id": str(entry.id),
        "version": entry.version,
        "action": entry.action,
        "old_status": entry.old_status,
        "new_status": entry.new_status,
        "operator": entry.operator,
        "operator_id": str(entry.operator_id),
        "reason": entry.reason,
        "at": rfc3339(entry.at_ms),
        "details": dict(entry.details),
    }


def statistics(it: Report, language: Language) -> dict[str, Any]:
    """StatisticsData."""
    return {
        "start": it.first_day,
        "end": it.last_day,
        "total": sums(it.total),
        "by_day": [{"day": day} | sums(of) for day, of in it.by_day.items()],
        "by_channel": [{"payment_type": channel} | sums(of) for channel, of in it.by_channel.items()],
        "by_status": [
            {"status": status, "status_text": status_text(OrderStatus(status), language)} | sums(of)
            for status, of in it.by_status.items()
        ],
        "waiting_events": it.waiting,
        "complete": it.whole,
    }


def sums(it: Sums) -> dict[str, Any]:
    """SumsData."""
    return {
        "orders": it.orders,
        "amount": yuan_of_fen(it.amount_fen),
        "amount_fen": it.amount_fen,
        "paid_amount": yuan_of_fen(it.paid_fen),
        "paid_fen": it.paid_fen,
        "refunded_amount": yuan_of_fen(it.refunded_fen),
        "refunded_fen": it.refunded_fen,
        "net_amount": yuan_of_fen(it.net_fen),
        "net_fen": it.net_fen,
    }
