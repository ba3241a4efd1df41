"""Notices of our own payment gateway over gRPC: what is signed, and which amounts are exact."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest

from shop_order.domain.errors import AmountInexact, AmountMismatch, InvalidArgument, SignatureInvalid
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.pkg.money import float32_of_fen
from shop_order.service.notice import GatewayNotice, GatewaySecret, notify_payment, pay_callback
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from tests.world.shop import ADDRESS, SECRET, World

BUYER = Actor(Role.USER, 7)


def mac(text: str, secret: bytes = SECRET) -> str:
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def notice(
    amount: float = 19.99,
    amount_fen: int = 0,
    sign: str = "",
    *,
    order_sn: str = "1",
    payment_sn: str = "P1",
    payment_type: int = 1,
) -> GatewayNotice:
    return notify_payment(
        order_sn=order_sn,
        payment_sn=payment_sn,
        trade_no="T1",
        payment_type=payment_type,
        amount=amount,
        amount_fen=amount_fen,
        sign=sign,
    )


def test_a_float_is_signed_as_yuan_and_fen_as_fen() -> None:
    secret = GatewaySecret([SECRET])
    text = "order_sn=1&payment_sn=P1&payment_type=1&trade_no=T1"
    assert secret.check(notice(float32_of_fen(1999), sign=mac(f"amount=19.99&{text}"))) == 1999
    assert secret.check(notice(0.0, 1999, sign=mac(f"amount_fen=1999&{text}"))) == 1999
    with pytest.raises(SignatureInvalid):
        secret.check(notice(0.0, 1999, sign=mac(f"amount=19.99&{text}")))


@pytest.mark.parametrize("field", ["order_sn", "payment_sn", "trade_no", "payment_type", "amount_fen"])
def test_every_field_is_signed(field: str) -> None:
    secret = GatewaySecret([SECRET])
    good = notice(0.0, 1999)
    signed = replace(good, sign=secret.sign(good.signed))
    assert secret.check(signed) == 1999
    other = dict(good.signed) | {field: "2"}
    with pytest.raises(SignatureInvalid):
        secret.check(replace(signed, signed=other))


def test_secrets_are_rotated_and_upper_case_is_none() -> None:
    old = GatewaySecret([b"old"])
    good = notice(0.0, 5)
    sign = old.sign(good.signed)
    assert GatewaySecret([b"new", b"old"]).check(replace(good, sign=sign)) == 5
    for wrong in (sign.upper(), "", "é", sign[:-1]):
        with pytest.raises(SignatureInvalid):
            GatewaySecret([b"new", b"old"]).check(replace(good, sign=wrong))
    with pytest.raises(SignatureInvalid):
        GatewaySecret([b"new"]).check(replace(good, sign=sign))


@pytest.mark.parametrize("amount", [19.999, float("nan"), float("inf"), -1.0, 131_072.01, 19.99])
def test_a_float_that_is_no_float32_of_whole_fen_is_refused(amount: float) -> None:
    with pytest.raises(AmountInexact):
        notice(amount)


def test_fen_are_not_negative_and_above_the_floats_they_stand_alone() -> None:
    with pytest.raises(InvalidArgument):
        notice(0.0, -1)
    assert notice(0.0, 123_496_76 * 100).amount_fen == 123_496_76 * 100


@pytest.mark.parametrize("fen", [1, 1999, 12_349_676_00, 10**10])
def test_a_float_beside_fen_which_is_not_signed_says_the_same(fen: int) -> None:
    fields = {"order_sn": "1", "payment_sn": "P1", "amount_fen": str(fen)}
    assert notice(float32_of_fen(fen), fen).amount_fen == fen
    assert pay_callback(fields, sign="", amount=float32_of_fen(fen)).amount_fen == fen
    for other in (float32_of_fen(fen * 2), float("nan"), -1.0):
        with pytest.raises(AmountInexact):
            notice(other, fen)
        with pytest.raises(AmountInexact):
            pay_callback(fields, sign="", amount=other)


def test_a_callback_needs_fen_and_a_float_beside_them_must_agree() -> None:
    fields = {"order_sn": "1", "payment_sn": "P1", "amount_fen": "1999", "trade_status": "TRADE_SUCCESS"}
    assert pay_callback(fields, sign="", amount=float32_of_fen(1999)).amount_fen == 1999
    with pytest.raises(AmountInexact):
        pay_callback(fields, sign="", amount=float32_of_fen(1998))
    for missing in ({}, {"amount_fen": "0"}):
        with pytest.raises(InvalidArgument):
            pay_callback(missing, sign="", amount=19.99)


@pytest.mark.parametrize(
    ("word", "paid"),
    [
        ("", True),
        ("SUCCESS", True),
        ("TRADE_SUCCESS", True),
        ("TRADE_FINISHED", True),
        ("TRADE_CLOSED", False),
    ],
)
def test_what_means_paid(word: str, paid: bool) -> None:
    fields = {"amount_fen": "1", "trade_status": word}
    assert pay_callback(fields, sign="", amount=0.0).means_paid is paid


async def test_a_signed_notice_pays_once_and_a_wrong_one_changes_nothing(world: World) -> None:
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    payment = (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result.payment

    async def tell(
        fen: int, order_sn: str = order.order_sn, payment_sn: str = payment.payment_sn, payment_type: int = 1
    ) -> None:
        good = notice(0.0, fen, order_sn=order_sn, payment_sn=payment_sn, payment_type=payment_type)
        await world.payments.gateway_notice(replace(good, sign=GatewaySecret([SECRET]).sign(good.signed)))

    wrong = (tell(1998), tell(1999, order_sn="2"), tell(1999, payment_sn="P2"), tell(1999, payment_type=2))
    for telling in wrong:
        with pytest.raises(AmountMismatch):
            await telling
    assert len(world.alerts) == 4
    assert (await world.store.orders.get(order.order_sn)).status is OrderStatus.PENDING
    for _ in range(2):
        await tell(1999)
    paid = await world.store.orders.get(order.order_sn)
    assert (paid.status, paid.version) == (OrderStatus.PAID, 3)
