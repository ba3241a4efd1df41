"""Balance payments over the whole Shop in one process: real gRPC both ways, the wallet's real ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from shop_order.domain.status import PaymentState
from tests.balance import (
    GOODS_FEN,
    POOR,
    answer,
    attempt,
    balance,
    deliver,
    hold_answers,
    ledger,
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


async def test_an_order_is_paid_by_balance(shop: Shop) -> None:
    before = await balance(shop)
    order_sn = (await shop.place())["order_sn"]
    payment_sn = await pay(shop, order_sn)
    await until_state(shop, payment_sn, PaymentState.PAID)
    order = await shop.order(order_sn)
    assert (order["status"], order["pay_type"], order["payment_sn"]) == (2, "balance", payment_sn)
    assert await balance(shop) == before - GOODS_FEN
    assert await ledger(shop) == [("debit", -GOODS_FEN, payment_sn)]
    await shop.check_doctor()


async def test_paying_twice_is_one_attempt_and_one_debit(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    numbers = await asyncio.gather(*(pay(shop, order_sn) for _ in range(5)))
    assert len(set(numbers)) == 1
    await until_state(shop, numbers[0], PaymentState.PAID)
    assert len(await ledger(shop)) == 1


async def test_too_little_money_closes_the_attempt_and_says_why(shop: Shop) -> None:
    order_sn = (await shop.place(POOR, nums=3))["order_sn"]
    payment_sn = await pay(shop, order_sn, POOR)
    await until_state(shop, payment_sn, PaymentState.CLOSED)
    response = await shop.http.get(f"/api/v1/orders/{order_sn}/payment", headers=shop.bearer(POOR))
    told: Mapping[str, Any] = response.json()["data"]
    assert (told["status"], told["close_reason"]) == (4, "INSUFFICIENT_BALANCE")
    order = await shop.order(order_sn, POOR)
    assert order["status"] == 1, "it stays payable"
    assert [log["reason"] for log in order["logs"] if log["action"] == "payment.closed"] == [
        "INSUFFICIENT_BALANCE"
    ]
    assert await ledger(shop) == []
    other = await shop.open_attempt(order_sn, POOR)
    await shop.provider_does(other["payment_sn"], "pay")
    assert (await shop.order(order_sn, POOR))["status"] == 2
    assert await shop.core.store.payments.due_queries(2**60, 10) == [], "a refused debit is not asked about"
    await shop.check_doctor()


async def test_a_debit_after_the_cancel_goes_back(shop: Shop) -> None:
    before = await balance(shop)
    await hold_answers(shop)
    order_sn = (await shop.place())["order_sn"]
    payment_sn = await pay(shop, order_sn)

    async def debited() -> bool:
        return bool(await ledger(shop))

    await shop.until(debited)
    response = await shop.http.post(f"/api/v1/orders/{order_sn}/cancel", json={}, headers=shop.bearer())
    assert response.status_code == 200, response.text
    await let_answers_go(shop)
    await until_state(shop, payment_sn, PaymentState.REFUNDED)
    assert await balance(shop) == before
    assert [kind for kind, _, _ in await ledger(shop)] == ["debit", "refund"]
    assert (await shop.order(order_sn))["refund_status"] == 2
    await shop.check_doctor()


async def test_a_debit_after_a_switch_goes_back(shop: Shop) -> None:
    before = await balance(shop)
    await hold_answers(shop)
    order_sn = (await shop.place())["order_sn"]
    slow = await pay(shop, order_sn)
    other = await shop.open_attempt(order_sn)
    assert (await attempt(shop, slow)).state is PaymentState.CLOSED
    await shop.provider_does(other["payment_sn"], "pay")
    await let_answers_go(shop)
    await until_state(shop, slow, PaymentState.REFUNDED)
    order = await shop.order(order_sn)
    assert (order["status"], order["payment_sn"], order["refund_status"]) == (2, other["payment_sn"], 0)
    assert await balance(shop) == before
    await shop.check_doctor()


async def test_a_refusal_after_a_switch_is_noted_once_and_ends_the_questions(shop: Shop) -> None:
    await hold_answers(shop)
    order_sn = (await shop.place(POOR, nums=3))["order_sn"]
    slow = await pay(shop, order_sn, POOR)
    await shop.open_attempt(order_sn, POOR)
    assert (await attempt(shop, slow)).close_reason == ""
    refused = answer("wallet.rejected", slow, user_id=POOR, amount_fen=3 * GOODS_FEN)
    assert await deliver(shop, refused, refused) == ["e-1", "e-1"]
    assert (await attempt(shop, slow)).close_reason == "REJECTED"
    actions = [log["action"] for log in (await shop.order(order_sn, POOR))["logs"]]
    assert actions.count("payment.closed") == 2, "closed, then explained"
    due = await shop.core.store.payments.due_queries(2**60, 10)
    assert slow not in [payment.payment_sn for payment, _ in due]


async def test_a_lost_answer_is_asked_for_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    order_sn = (await shop.place())["order_sn"]
    monkeypatch.setattr("shop_sandbox.wallet._answer", lambda *_: b'{"id":"e","lost":true}')
    payment_sn = await pay(shop, order_sn)

    async def debited() -> bool:
        return bool(await ledger(shop))

    await shop.until(debited)
    monkeypatch.undo()
    sql = "UPDATE wallet_answer SET due_ms = 0"  # nobody takes it; the command's next answer replaces it
    await shop.sandbox.users_db.run(lambda connection: connection.execute(sql))
    await shop.core.store.payments.request_query(payment_sn, 0)
    await until_state(shop, payment_sn, PaymentState.PAID)
    assert len(await ledger(shop)) == 1
    await shop.check_doctor()


async def test_a_wallet_that_is_away_holds_back_its_own_orders_only(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise RuntimeError("away")

    monkeypatch.setattr(shop.sandbox.wallet, "deliver", away)
    waits = (await shop.place())["order_sn"]
    payment_sn = await pay(shop, waits)
    other = await shop.paid()
    waiting = shop.core.store.outbox.orders_waiting

    async def only_one_waits() -> bool:
        return bool(await waiting() == {waits})

    await shop.until(only_one_waits)
    assert other["status"] == 2
    monkeypatch.undo()
    await until_state(shop, payment_sn, PaymentState.PAID)
    await shop.check_doctor()


async def test_the_balance_is_known_or_unknown_but_never_an_error(shop: Shop) -> None:
    wallet = shop.core.neighbours.wallet
    assert await wallet.balance(7) == await balance(shop)
    assert await wallet.balance(999_999) is None
    await shop.sandbox.__aexit__(None, None, None)
    assert await wallet.balance(7) is None
    shop.sandbox = shop._sandbox()
    await shop.sandbox.__aenter__()


async def test_without_a_wallet_there_is_no_balance(tmp_path: Path) -> None:
    async with Shop(tmp_path, AUTH__WALLET_SERVICES="") as shop:
        order_sn = (await shop.place())["order_sn"]
        response = await shop.http.post(
            f"/api/v1/orders/{order_sn}/pay", json={"payment_type": "balance"}, headers=shop.bearer()
        )
        assert (response.status_code, response.json()["error"]) == (409, "CHANNEL_UNAVAILABLE")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await deliver(shop, answer("wallet.debited", "P1"))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
