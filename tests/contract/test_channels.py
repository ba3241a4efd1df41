"""What every payment channel keeps: a notice is believed only if it is signed, whole and for us; an answer
that does not come leaves everything unknown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shop_order.domain.entity.payment import MAX_PAYMENT_FEN, Payment, action_of, stored_action
from shop_order.domain.errors import AmountMismatch, InvalidArgument, SignatureInvalid
from shop_order.domain.ports import OpenRequest, Payer, RefundResult, Trade, TradeState
from shop_order.gateway.payment import CHANNELS
from shop_order.service.pay import MAX_TRADE_TYPE
from tests.contract.channels import ALL_RIGS, RIGS, Rig
from tests.world.provider import a_refund, an_attempt

PAYMENT_SN, REFUND_SN = "P261121080000000000000000001", "R261121080000000000000000001"


@pytest.fixture(params=list(ALL_RIGS))
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with ALL_RIGS[request.param](tmp_path) as found:
        yield found


def attempt(rig: Rig, trade_type: str = "") -> Payment:
    channel = rig.channel
    types = {"payment_type": channel.payment_type, "trade_type": trade_type or channel.trade_types.offered[0]}
    return an_attempt(PAYMENT_SN, **types)


def test_every_channel_of_the_table_is_tried_here() -> None:
    assert set(RIGS) == {kind for kind, entry in CHANNELS.items() if entry.notice}


async def test_its_constants_fit_the_tables(rig: Rig) -> None:
    channel, types = rig.channel, rig.channel.trade_types
    assert 0 < channel.smallest_fen <= channel.largest_fen <= MAX_PAYMENT_FEN
    assert types.offered
    assert not types.unavailable.intersection(types.offered)
    assert set(types.at_cashier.values()) <= types.unavailable.union(types.offered)
    assert types.by_openid <= set(types.offered)
    assert not types.not_on.intersection(types.at_cashier)
    assert all(len(name) <= MAX_TRADE_TYPE for name in types.offered)
    assert channel.seller


async def test_what_the_buyer_does_survives_the_database(rig: Rig) -> None:
    payer = Payer("openid-of-7", "203.0.113.9")
    for trade_type in rig.channel.trade_types.offered:
        request = OpenRequest(attempt(rig, trade_type), "苹果", 1_800_000, "http://shop/", payer)
        action = await rig.channel.open(request)
        assert action_of(stored_action(action)) == action


async def test_a_signed_notice_tells_of_the_trade_as_often_as_it_comes(rig: Rig) -> None:
    payment = attempt(rig)
    body, headers = rig.notice(payment)
    for _ in range(2):
        told = rig.channel.verify(body, headers)
        assert (told.payment_sn, told.is_refund, told.ambiguous) == (PAYMENT_SN, False, "")
        assert told.trade == Trade(TradeState.PAID, f"T{PAYMENT_SN}", payment.amount_fen, told.trade.paid_ms)


async def test_a_refunds_notice_names_the_refund(rig: Rig) -> None:
    told = rig.channel.verify(*rig.notice(attempt(rig), refund_sn=REFUND_SN))
    assert (told.payment_sn, told.is_refund, told.out_refund_no) == (PAYMENT_SN, True, REFUND_SN)


async def test_a_strangers_notice_is_forged(rig: Rig) -> None:
    body, headers = rig.notice(attempt(rig), forged=True)
    with pytest.raises(SignatureInvalid):
        rig.channel.verify(body, headers)


async def test_a_notice_with_another_byte_is_not_believed(rig: Rig) -> None:
    body, headers = rig.notice(attempt(rig))
    for at in range(0, len(body), 7):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises((SignatureInvalid, InvalidArgument)):
            rig.channel.verify(changed, headers)
    with pytest.raises((SignatureInvalid, InvalidArgument)):
        rig.channel.verify(b"", {})


async def test_a_signed_notice_for_another_seller_is_a_mismatch(rig: Rig) -> None:
    body, headers = rig.notice(attempt(rig), seller="them")
    with pytest.raises(AmountMismatch):
        rig.channel.verify(body, headers)


async def test_lost_answers_leave_everything_unknown(rig: Rig) -> None:
    payment = attempt(rig)
    refund = a_refund(payment, REFUND_SN)
    rig.tell(payment, lost=True)
    assert await rig.channel.query(PAYMENT_SN) == Trade(TradeState.UNKNOWN)
    assert await rig.channel.close(PAYMENT_SN) == Trade(TradeState.UNKNOWN)
    assert await rig.channel.refund(payment, refund) is RefundResult.UNKNOWN
    assert await rig.channel.query_refund(refund) is RefundResult.UNKNOWN


async def test_a_paid_attempt_is_found_is_not_closed_and_is_refunded_once(rig: Rig) -> None:
    payment = attempt(rig)
    refund = a_refund(payment, REFUND_SN)
    rig.tell(payment, lost=False)
    found = await rig.channel.query(PAYMENT_SN)
    assert (found.state, found.amount_fen) == (TradeState.PAID, payment.amount_fen)
    assert (await rig.channel.close(PAYMENT_SN)).state is TradeState.PAID
    results = {await rig.channel.refund(payment, refund) for _ in range(2)}
    assert len(results) == 1
    assert results < {RefundResult.SUCCEEDED, RefundResult.PROCESSING}
