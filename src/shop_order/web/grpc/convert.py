"""From the domain to the messages of specification 9.1.

Floats are yuan, as the specification has them; the exact fen stand beside them.
"""

from __future__ import annotations

import json

from google.protobuf.timestamp_pb2 import Timestamp

from shop_order.api.proto import order_pb2 as pb
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import BridgeParameters, Done, Payment, QrCode, Redirect
from shop_order.domain.valueobject.address import Address
from shop_order.domain.valueobject.item import OrderItem
from shop_order.web.messages import Language, status_text


def timestamp(ms: int) -> Timestamp:
    """The time of epoch milliseconds."""
    seconds, rest_ms = divmod(ms, 1000)
    return Timestamp(seconds=seconds, nanos=rest_ms * 1_000_000)


def address_of(message: pb.AddressInfo) -> Address:
    """The receiver. Raises InvalidArgument."""
    return Address(
        name=message.name,
        phone=message.phone,
        detail=message.detail,
        province=message.province,
        city=message.city,
        district=message.district,
    )


def order_info(order: Order, pay_url: str) -> pb.OrderInfo:
    """The order as it is now."""
    shown = order.shown_payment()
    address = order.address
    info = pb.OrderInfo(
        id=order.id,
        order_sn=order.order_sn,
        user_id=order.user,
        status=order.status,
        total_amount=order.total_fen / 100,
        pay_amount=order.pay_fen / 100,
        freight_amount=order.freight_fen / 100,
        payment_type=order.pay_type,
        address=pb.AddressInfo(
            name=address.name,
            phone=address.phone,
            province=address.province,
            city=address.city,
            district=address.district,
            detail=address.detail,
        ),
        items=[_item(item, order.id) for item in order.items],
        remark=order.note,
        created_at=timestamp(order.created_ms),
        total_amount_fen=order.total_fen,
        pay_amount_fen=order.pay_fen,
        freight_amount_fen=order.freight_fen,
        discount_amount_fen=order.discount_fen,
        pay_url=pay_url,
        expire_at=timestamp(order.expire_ms),
        refund_status=order.refund_status,
        payment_sn=shown.payment_sn if shown else "",
        trade_no=order.trade_no,
        logistics_company=order.logistics_company,
        logistics_no=order.logistics_no,
        version=order.version,
        cancel_reason=order.why_cancelled,
        cancel_code=order.cancel_code,
    )
    if order.pay_ms:
        info.paid_at.CopyFrom(timestamp(order.pay_ms))
    return info


def _item(item: OrderItem, order_id: int) -> pb.OrderItemInfo:
    total_fen = item.total_fen
    return pb.OrderItemInfo(
        id=item.id,
        order_id=order_id,
        product_id=item.goods,
        product_name=item.goods_name,
        product_image=item.goods_image,
        price=item.price_fen / 100,
        quantity=item.nums,
        total_amount=total_fen / 100,
        price_fen=item.price_fen,
        total_amount_fen=total_fen,
    )


def pay_action(payment: Payment) -> tuple[str, str]:
    """`payment_url` (a link, or the text of a QR code) and `jsapi_params` (JSON); empty unless it is open."""
    if payment.is_open:
        match payment.action:
            case Redirect(text) | QrCode(text):
                return text, ""
            case BridgeParameters(values):
                return "", json.dumps(dict(values))
            case Done():
                pass
    return "", ""


def payment_info(payment: Payment) -> pb.PaymentInfo:
    """The attempt as it is now; its link only while it may still be paid."""
    payment_url, jsapi_params = pay_action(payment)
    info = pb.PaymentInfo(
        payment_sn=payment.payment_sn,
        order_sn=payment.order_sn,
        user_id=payment.user,
        amount=payment.amount_fen / 100,
        payment_type=payment.payment_type,
        status=payment.state.wire,
        payment_url=payment_url,
        jsapi_params=jsapi_params,
        created_at=timestamp(payment.created_ms),
        amount_fen=payment.amount_fen,
        expire_at=timestamp(payment.expire_ms),
        trade_no=payment.trade_no,
        trade_type=payment.trade_type,
        refunded_fen=payment.refunded_fen,
    )
    if payment.paid_ms:
        info.paid_at.CopyFrom(timestamp(payment.paid_ms))
    return info


def order_status(order: Order, language: Language) -> pb.OrderStatusResponse:
    """The order's state with its word in the caller's language."""
    return pb.OrderStatusResponse(
        order_sn=order.order_sn,
        status=order.status,
        status_desc=status_text(order.status, language),
        version=order.version,
        changed_at=timestamp(order.updated_ms),
    )
