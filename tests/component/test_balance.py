"""Balance payments over the whole Shop in one process: real gRPC both ways, the wallet's real ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import EventInboxStub
from shop_order.domain.entity import after_sales
from shop_order.domain.errors import AmountMismatch
from shop_order.domain.status import PaymentState, RefundState
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.notice import notify_payment
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")

GOODS_FEN = 16_800  # goods 101
POOR = 8  # has 500 yuan


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path) as running:
        yield running


async def pay(shop: Shop, order_sn: str, user: int = 7, by: str = "balance") -> str:
    """An attempt: its number."""
    answer = await shop.http.post(
        f"/api/v1/orders/{order_sn}/pay", json={"payment_type": by}, headers=shop.bearer(user)
    )
    assert answer.status_code == 200, answer.text
    number: str = answer.json()["data"]["payment_sn"]
    return number


async def attempt(shop: Shop, payment_sn: str) -> Any:
    """The attempt as it is stored."""
    return await shop.core.store.payments.find(payment_sn)


async def until_state(shop: Shop, payment_sn: str, *states: PaymentState) -> None:
    async def reached() -> bool:
        return (await attempt(shop, payment_sn)).state in states

    await shop.until(reached)


async def balance(shop: Shop, user: int = 7) -> int:
    return int((await shop.sandbox.users.get_balance(pb.UserId(user_id=user))).balance_fen)


async def ledger(shop: Shop) -> list[tuple[str, int, str]]:
    """(kind, fen, number) of every entry that is not a deposit."""
    entries = (await shop.sandbox.users.list_ledger(pb.LedgerFilter())).entries
    return [
        (one.kind, one.amount_fen, one.refund_sn or one.payment_sn)
        for one in entries
        if one.kind != "deposit"
    ]


def answer(kind: str, payment_sn: str, *, id: str = "e-1", **data: Any) -> bytes:
    """An event as the wallet sends it."""
    told = {"payment_sn": payment_sn, "user_id": 7, "amount_fen": GOODS_FEN} | data
    event = {"specversion": "1.0", "id": id, "source": "/user-service", "type": kind, "data": told}
    return json.dumps(event).encode()


async def deliver(shop: Shop, *bodies: bytes, role: Role = Role.SERVICE, name: str = "wallet") -> list[str]:
    """Call our inbox; the accepted ids."""
    assert shop.channel is not None
    metadata = (("authorization", f"Bearer {shop.token(role=role, subject=name)}"),)
    result = await EventInboxStub(shop.channel).Deliver(pb.EventBatch(cloud_events=bodies), metadata=metadata)
    return list(result.accepted_ids)


def alerts(shop: Shop, name: str) -> float:
    return float(shop.core.metrics.alerts.labels(name)._value.get())


async def hold_answers(shop: Shop) -> None:
    """From now on the wallet can't reach us."""
    shop.sandbox.wallet_link.use("127.0.0.1:1")


async def let_answers_go(shop: Shop) -> None:
    shop.sandbox.wallet_link.use(shop.grpc_address)
    shop.sandbox.answers.hint()


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


# ---- who may speak for the wallet, and what is not believed ----


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
