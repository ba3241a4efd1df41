"""What a notice must name and may not exceed, whoever sends it and however it comes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import AmountMismatch, InvalidArgument, SignatureInvalid
from shop_order.domain.ports import Notice, Trade, TradeState
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.attempts import MAX_AHEAD_MS
from shop_order.service.channels import Channels
from shop_order.service.notice import GatewayNotice, GatewaySecret, notify_payment, pay_callback
from shop_order.service.pay import PayOrder
from shop_order.service.place import PlaceOrder
from tests.world.shop import ADDRESS, SECRET, World

BUYER = Actor(Role.USER, 7)


async def waiting(world: World) -> Payment:
    """An open attempt."""
    order = (await world.placing.place(BUYER, PlaceOrder(ADDRESS, (Line(1, 1),)))).result
    return (await world.payments.pay(BUYER, PayOrder(order.order_sn, PaymentType.ALIPAY))).result.payment


def said(payment: Payment, **changed: Any) -> dict[str, Any]:
    """The fields of a good notice of our gateway, with these changes."""
    good = {
        "order_sn": payment.order_sn,
        "payment_sn": payment.payment_sn,
        "payment_type": int(payment.payment_type),
        "trade_no": "T1",
        "amount_fen": payment.amount_fen,
    }
    return good | changed


def both(payment: Payment, *, sign: str = "", **changed: Any) -> list[GatewayNotice]:
    """The notice by `NotifyPayment` and by `OrderPayCallback`, rightly signed."""
    fields = said(payment, **changed)
    notified = notify_payment(**fields, amount=0.0, sign="")
    callback = pay_callback({k: str(v) for k, v in fields.items() if v}, sign="", amount=0.0)
    secret = GatewaySecret([SECRET])
    return [
        GatewayNotice(
            n.order_sn, n.payment_sn, n.trade_no, n.payment_type, n.amount_fen, n.trade_status, n.signed,
            sign or secret.sign(n.signed),
        )
        for n in (notified, callback)
    ]  # fmt: skip


async def still_pending(world: World, payment: Payment) -> None:
    """Nobody was believed."""
    order = await world.store.orders.get(payment.order_sn)
    assert (order.status, order.version) == (OrderStatus.PENDING, 2)


@pytest.mark.parametrize("missing", ["order_sn", "payment_sn", "trade_no"])
async def test_a_gateway_names_what_it_pays(world: World, missing: str) -> None:
    payment = await waiting(world)
    for notice in both(payment, **{missing: ""}):
        with pytest.raises(InvalidArgument) as refused:
            await world.payments.gateway_notice(notice)
        assert refused.value.field == missing
    for notice in both(payment, sign="0" * 64, **{missing: ""}):
        with pytest.raises(SignatureInvalid):
            await world.payments.gateway_notice(notice)
    await still_pending(world, payment)
    assert world.alerts == []


async def test_a_gateway_names_its_channel_and_its_amount(world: World) -> None:
    payment = await waiting(world)
    for notice in both(payment, payment_type=0):
        with pytest.raises(InvalidArgument):
            await world.payments.gateway_notice(notice)
    with pytest.raises(InvalidArgument):
        both(payment, amount_fen=0)  # a callback says fen
    fields = said(payment, amount_fen=0)
    nothing = notify_payment(**fields, amount=0.0, sign="")
    nothing = replace(nothing, sign=GatewaySecret([SECRET]).sign(nothing.signed))
    with pytest.raises(InvalidArgument):
        await world.payments.gateway_notice(nothing)
    await still_pending(world, payment)


@pytest.mark.parametrize(
    "wrong",
    [
        {"order_sn": "261121080000000000000000000"},
        {"payment_sn": "P261121080000000000000000000"},
        {"payment_type": 2},
        {"payment_type": 99},
        {"payment_type": -1},
        {"amount_fen": 1},
        {"amount_fen": 10**10 + 1},
        {"amount_fen": 2**63 - 1},
        {"trade_no": "T" * 65},
        {"trade_no": "T\0"},
        {"trade_no": "T\n"},
        {"trade_no": " "},
        {"trade_no": "单号"},
    ],
)
async def test_what_does_not_agree_changes_nothing_and_is_told(world: World, wrong: dict[str, Any]) -> None:
    payment = await waiting(world)
    for n, notice in enumerate(both(payment, **wrong), 1):
        with pytest.raises(AmountMismatch):
            await world.payments.gateway_notice(notice)
        assert len(world.alerts) == n
    await still_pending(world, payment)


async def test_a_gateways_field_has_a_length(world: World) -> None:
    payment = await waiting(world)
    for notice in both(payment, order_sn="1" * 513):
        with pytest.raises(InvalidArgument):
            await world.payments.gateway_notice(notice)


async def test_a_number_pays_one_order_whoever_tells_it(world: World) -> None:
    first, second = await waiting(world), await waiting(world)
    for notice in both(first, trade_no=f"T{second.payment_sn[1:]}"):
        await world.payments.gateway_notice(notice)
    world.provider.pay(second.payment_sn)  # under the same number
    with pytest.raises(AmountMismatch):
        await world.payments.provider_notice(PaymentType.ALIPAY, world.provider.notice(second.payment_sn), {})
    for notice in both(second, trade_no=f"T{second.payment_sn[1:]}"):
        with pytest.raises(AmountMismatch):
            await world.payments.gateway_notice(notice)
    assert not await world.settlement.settle(second)
    assert [(name, about["what"]) for name, about in world.alerts] == [("notice_mismatch", "trade_no")] * 4
    await still_pending(world, second)


async def test_a_provider_tells_of_its_own_payments_only(world: World) -> None:
    payment = await waiting(world)
    world.provider.pay(payment.payment_sn)
    both = {PaymentType.ALIPAY: world.provider, PaymentType.WECHAT: world.provider}
    world.payments.channels = Channels(both)
    notice = world.provider.notice(payment.payment_sn)
    with pytest.raises(AmountMismatch):
        await world.payments.provider_notice(PaymentType.WECHAT, notice, {})
    await still_pending(world, payment)
    assert [about["what"] for _, about in world.alerts] == ["payment_type"]
    await world.payments.provider_notice(PaymentType.ALIPAY, notice, {})


@pytest.mark.parametrize(
    ("body", "headers", "field"),
    [
        (b"x" * (64 * 1024 + 1), {}, "raw_body"),
        (b"x", {f"h{n}": "" for n in range(101)}, "headers"),
        (b"x", {"h": "x" * 16 * 1024}, "headers"),
        (b"x", {"x" * 16 * 1024: "h"}, "headers"),
    ],
)
async def test_nothing_is_read_of_what_is_too_large(
    world: World, body: bytes, headers: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await world.payments.provider_notice(PaymentType.ALIPAY, body, headers)
    assert refused.value.field == field


async def test_an_answer_that_can_not_be_is_told_and_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await waiting(world)

    async def wrong(payment_sn: str) -> Trade:
        raise AmountMismatch("send_pay_date")

    monkeypatch.setattr(world.provider, "query", wrong)
    monkeypatch.setattr(world.provider, "close", wrong)
    assert not await world.settlement.settle(payment)
    assert (await world.attempts.close(payment)).is_open
    assert [(name, about["what"]) for name, about in world.alerts] == [
        ("notice_mismatch", "send_pay_date")
    ] * 2
    await still_pending(world, payment)


async def test_of_a_notice_that_can_be_read_in_two_ways_the_provider_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await waiting(world)
    hiding = Notice(payment.payment_sn, Trade(TradeState.UNKNOWN), ambiguous="charset")
    monkeypatch.setattr(world.provider, "verify", lambda body, headers: hiding)
    world.provider.pay(payment.payment_sn)

    async def tell() -> str:
        return await world.payments.provider_notice(PaymentType.ALIPAY, b"", {})

    assert await world.settlement.query_due() == 0, "it would be asked later"
    with pytest.raises(AmountMismatch):
        await tell()
    await still_pending(world, payment)
    assert [about["what"] for _, about in world.alerts] == ["charset"]
    assert await world.settlement.query_due() == 1, "now"
    assert (await world.store.orders.get(payment.order_sn)).status is OrderStatus.PAID
    assert await tell() == payment.order_sn
    assert len(world.alerts) == 1
    hiding = Notice("P0", Trade(TradeState.UNKNOWN), ambiguous="charset")
    with pytest.raises(AmountMismatch):
        await tell()


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_fen": -1},
        {"amount_fen": 10**10 + 1},
        {"trade_no": "T" * 65},
        {"paid_ms": -62_135_596_800_000},
        {"paid_ms": -315_619_200_000},
        {"paid_ms": 253_402_300_799_000},
    ],
)
def test_no_channel_can_tell_of_a_trade_that_can_not_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(AmountMismatch):
        Trade(TradeState.PAID, **wrong)


async def test_money_that_is_still_to_come_is_not_believed(world: World) -> None:
    payment = await waiting(world)
    latest = world.clock() + MAX_AHEAD_MS
    for paid_ms in (latest + 1, 4_000_000_000_000):
        with pytest.raises(AmountMismatch) as refused:
            await world.attempts.apply_trade(
                payment.payment_sn, Trade(TradeState.PAID, "T1", payment.amount_fen, paid_ms=paid_ms)
            )
        assert refused.value.details == {"what": "paid_ms"}
    await still_pending(world, payment)
    assert [about["what"] for _, about in world.alerts] == ["paid_ms", "paid_ms"]
    told = Trade(TradeState.PAID, "T1", payment.amount_fen, paid_ms=latest)
    assert (await world.attempts.apply_trade(payment.payment_sn, told)).is_paid
