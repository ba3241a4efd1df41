"""The inbox of the wallet's answers: who may call it, and what it does not believe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from shop_order.domain.entity import after_sales
from shop_order.domain.errors import AmountMismatch
from shop_order.domain.status import PaymentState, RefundState
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.notice import notify_payment
from tests.balance import (
    GOODS_FEN,
    alerts,
    answer,
    attempt,
    deliver,
    hold_answers,
    let_answers_go,
    pay,
    until_state,
)
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("role", "name"),
    [(Role.SERVICE, "inventory"), (Role.SERVICE, "wallet2"), (Role.USER, "7"), (Role.ADMIN, "1")],
)
async def test_only_wallets_may_answer(shop: Shop, role: Role, name: str) -> None:
    await hold_answers(shop)
    payment_sn = await pay(shop, (await shop.place())["order_sn"])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await deliver(shop, answer("wallet.debited", payment_sn), role=role, name=name)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert (await attempt(shop, payment_sn)).state is PaymentState.PROCESSING


async def test_what_does_not_match_is_refused_alone(shop: Shop) -> None:
    await hold_answers(shop)
    payment_sn = await pay(shop, (await shop.place())["order_sn"])
    by_alipay = (await shop.open_attempt((await shop.place())["order_sn"]))["payment_sn"]
    wrong = [
        answer("wallet.debited", payment_sn, id="amount", amount_fen=GOODS_FEN - 1),
        answer("wallet.debited", payment_sn, id="user", user_id=8),
        answer("wallet.debited", "P" + "0" * 27, id="unknown"),
        answer("wallet.debited", by_alipay, id="channel"),
        answer("wallet.rejected", payment_sn, id="rejected", amount_fen=1),
        answer("wallet.refunded", payment_sn, id="no such refund", refund_sn="R" + "0" * 27),
        answer("wallet.refunded", payment_sn, id="no number"),
        answer("wallet.debited", payment_sn, id="debited refund", refund_sn="R" + "0" * 27),
    ]
    assert await deliver(shop, *wrong) == []
    assert alerts(shop, "notice_mismatch") == len(wrong)
    for number in (payment_sn, by_alipay):
        assert (await attempt(shop, number)).is_open
    assert await deliver(shop, *wrong, answer("wallet.debited", payment_sn, id="right"), *wrong) == ["right"]
    assert (await attempt(shop, payment_sn)).state is PaymentState.PAID


MALFORMED = [
    b"",
    b"{",
    b"[" * 10_000,
    b"\xff\xfe",
    b"null",
    b'{"id":"x"}',
    answer("wallet.debited", "", id="empty"),
    answer("wallet.debited", "P1", id=""),
    answer("wallet.debited", "P1", amount_fen="16800"),
    answer("wallet.debited", "P1", amount_fen=16800.0),
    answer("wallet.debited", "P1", amount_fen=True),
    answer("wallet.debited", "P1", amount_fen=-16800),
    answer("wallet.debited", "P1", amount_fen=10**30),
    answer("wallet.debited", "P1", user_id=0),
    answer("wallet.debited", "P1\n", id="break"),
    answer("wallet.debited", "P" * 65, id="long"),
    answer("wallet.debited", "P1", id="x" * 256),
    answer("wallet.debited", "P1", refund_sn=None),
    answer("wallet.rejected", "P1", reason="<script>"),
    answer("wallet.rejected", "P1", reason="R" * 33),
    answer("order.paid", "P1"),
    answer("wallet.debit_requested", "P1"),
    answer("wallet.debited", "P1", padding="x" * 20_000),
]


async def test_malformed_events_are_refused_one_by_one(shop: Shop) -> None:
    await hold_answers(shop)
    payment_sn = await pay(shop, (await shop.place())["order_sn"])
    right = answer("wallet.debited", payment_sn, id="right")
    assert await deliver(shop, *MALFORMED) == []
    assert await deliver(shop, *MALFORMED[:12], right, *MALFORMED[12:]) == ["right"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await deliver(shop, *[right] * 501)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await deliver(shop) == []


async def test_replayed_and_contradicting_answers_change_nothing(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    payment_sn = await pay(shop, order_sn)
    await until_state(shop, payment_sn, PaymentState.PAID)
    version = (await shop.order(order_sn))["version"]
    again = answer("wallet.debited", payment_sn, id="again")
    assert await deliver(shop, again, again, again) == ["again"] * 3
    assert await deliver(shop, answer("wallet.rejected", payment_sn, reason="INSUFFICIENT_BALANCE")) == []
    assert (await shop.order(order_sn))["version"] == version
    assert alerts(shop, "notice_mismatch") == 1


async def test_a_gateway_notice_does_not_pay_by_balance(shop: Shop) -> None:
    await hold_answers(shop)
    order_sn = (await shop.place())["order_sn"]
    payment_sn = await pay(shop, order_sn)
    secret = shop.core.payments.gateway_secret
    fields: dict[str, Any] = {
        "order_sn": order_sn,
        "payment_sn": payment_sn,
        "trade_no": "T1",
        "payment_type": 3,
    }
    unsigned = notify_payment(**fields, amount=0, amount_fen=GOODS_FEN, sign="")
    signed = notify_payment(**fields, amount=0, amount_fen=GOODS_FEN, sign=secret.sign(unsigned.signed))
    with pytest.raises(AmountMismatch):
        await shop.core.payments.gateway_notice(signed)
    assert (await attempt(shop, payment_sn)).state is PaymentState.PROCESSING


async def refund_sent(shop: Shop) -> tuple[str, str, str]:
    """A debit after the cancel, whose refund the wallet never answers: order, payment and refund."""
    await hold_answers(shop)
    order_sn = (await shop.place())["order_sn"]
    payment_sn = await pay(shop, order_sn)
    await shop.http.post(f"/api/v1/orders/{order_sn}/cancel", json={}, headers=shop.bearer())
    await deliver(shop, answer("wallet.debited", payment_sn))

    async def sent() -> bool:
        order = await shop.core.store.orders.get(order_sn)
        return [refund.state for refund in order.refunds.values()] == [RefundState.SENT]

    await shop.until(sent)
    (refund_sn,) = (await shop.core.store.orders.get(order_sn)).refunds
    return order_sn, payment_sn, refund_sn


async def refund_of(shop: Shop, order_sn: str) -> Any:
    (refund,) = (await shop.core.store.orders.get(order_sn)).refunds.values()
    return refund


async def test_only_the_right_refund_counts(shop: Shop) -> None:
    order_sn, payment_sn, refund_sn = await refund_sent(shop)
    other_sn = await pay(shop, (await shop.place())["order_sn"])
    wrong = [
        answer("wallet.refunded", payment_sn, refund_sn=refund_sn, amount_fen=GOODS_FEN - 1),
        answer("wallet.refunded", payment_sn, refund_sn=refund_sn, user_id=8),
        answer("wallet.refunded", payment_sn, refund_sn=refund_sn[:-1] + "x"),
        answer("wallet.refunded", other_sn, refund_sn=refund_sn),
        answer("wallet.rejected", payment_sn, refund_sn=refund_sn, amount_fen=1),
    ]
    assert await deliver(shop, *wrong) == []
    assert (await refund_of(shop, order_sn)).state is RefundState.SENT
    right = answer("wallet.refunded", payment_sn, refund_sn=refund_sn)
    assert await deliver(shop, right, right) == ["e-1", "e-1"]
    assert (await refund_of(shop, order_sn)).state is RefundState.SUCCEEDED
    late = answer("wallet.rejected", payment_sn, refund_sn=refund_sn)
    assert await deliver(shop, late) == [], "the buyer has the money"


async def test_a_refused_refund_may_succeed_later(shop: Shop) -> None:
    order_sn, payment_sn, refund_sn = await refund_sent(shop)
    refused = answer("wallet.rejected", payment_sn, refund_sn=refund_sn, reason="NOT_DEBITED")
    assert await deliver(shop, refused, refused) == ["e-1", "e-1"]
    assert (await refund_of(shop, order_sn)).state is RefundState.FAILED
    assert alerts(shop, "refund_failed") == 1
    assert await deliver(shop, answer("wallet.refunded", payment_sn, refund_sn=refund_sn)) == ["e-1"]
    assert (await refund_of(shop, order_sn)).state is RefundState.SUCCEEDED
    again = answer("wallet.refunded", payment_sn, id="again", refund_sn=refund_sn)
    assert await deliver(shop, again, again) == ["again"] * 2


async def test_a_refund_settled_by_hand_is_not_made_twice_in_silence(shop: Shop) -> None:
    order_sn, payment_sn, refund_sn = await refund_sent(shop)
    await deliver(shop, answer("wallet.rejected", payment_sn, refund_sn=refund_sn))
    admin = Actor(Role.ADMIN, 1)
    await shop.core.store.orders.change(
        order_sn, lambda order: after_sales.settle_by_hand(order, refund_sn, admin, 1, reason="cash")
    )
    assert await deliver(shop, answer("wallet.refunded", payment_sn, refund_sn=refund_sn)) == []
    assert alerts(shop, "notice_mismatch") == 1


async def test_a_refund_that_the_wallet_refuses_is_an_alert(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shop_sandbox.wallet._refund", lambda *_: "NOT_DEBITED")
    await hold_answers(shop)
    order_sn = (await shop.place())["order_sn"]
    payment_sn = await pay(shop, order_sn)
    await shop.http.post(f"/api/v1/orders/{order_sn}/cancel", json={}, headers=shop.bearer())
    await deliver(shop, answer("wallet.debited", payment_sn))
    await let_answers_go(shop)

    async def failed() -> bool:
        order = await shop.core.store.orders.get(order_sn)
        return [refund.state for refund in order.refunds.values()] == [RefundState.FAILED]

    await shop.until(failed)
    assert alerts(shop, "refund_failed") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE payment SET state = 'stolen' WHERE payment_sn = ?",
        "UPDATE order_info SET pay_type = 'x' WHERE order_sn ="
        " (SELECT order_sn FROM payment WHERE payment_sn = ?)",
    ],
)
async def test_an_altered_order_does_not_hold_back_the_answers_about_others(shop: Shop, sql: str) -> None:
    await hold_answers(shop)
    altered, other = [await pay(shop, (await shop.place())["order_sn"]) for _ in range(2)]
    await shop.core.store.payments._db.writer.run(sql, (altered,))
    answers = [answer("wallet.debited", number, id=number) for number in (altered, other)]
    assert await deliver(shop, *answers) == [other]
    assert (await attempt(shop, other)).state is PaymentState.PAID
