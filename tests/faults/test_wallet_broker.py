"""Balance payments of the whole Shop through RocketMQ: the relay dies, and wrong answers are put aside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shop_order.api.client.events import WalletAnswers
from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.domain.status import PaymentState
from shop_order.pkg.message import WALLET_ANSWERS, BrokerUnavailable
from shop_order.pkg.message.rocketmq import parse
from shop_order.pkg.message.rocketmq.admin import Admin
from tests.faults.test_broker_gone import BROKERS, Town

FEN = 16_800  # one of goods 101


@pytest.fixture(params=BROKERS)
async def town(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    async with Town(tmp_path, request.param) as running:

        async def ready() -> bool:
            return "message" not in (await running.readiness()).get("missing", ())

        await running.until(ready, 30)
        yield running


async def pay(town: Town, order_sn: str) -> str:
    answer = await town.http.post(
        f"/api/v1/orders/{order_sn}/pay", json={"payment_type": "balance"}, headers=town.bearer()
    )
    number: str = answer.json()["data"]["payment_sn"]
    return number


async def until_state(town: Town, payment_sn: str, state: PaymentState) -> None:
    async def reached() -> bool:
        payment = await town.core.store.payments.find(payment_sn)
        return payment is not None and payment.state is state

    await town.until(reached, 60)


async def entries(town: Town) -> list[int]:
    ledger = (await town.sandbox.users.list_ledger(pb.LedgerFilter())).entries
    return [one.amount_fen for one in ledger if one.payment_sn]


def answer(payment_sn: str, **changed: Any) -> tuple[str, str, str, bytes]:
    data = {"payment_sn": payment_sn, "user_id": 7, "amount_fen": FEN} | changed
    event = {
        "specversion": "1.0",
        "id": "forged",
        "source": "wallet",
        "type": "wallet.debited",
        "data": data,
    }
    return "forged", payment_sn, "wallet.debited", json.dumps(event).encode()


async def publish(client: WalletAnswers, message: tuple[str, str, str, bytes]) -> None:
    for _ in range(30):
        try:
            if await client.publish([message]):
                return
        except BrokerUnavailable:
            await asyncio.sleep(0.5)  # it learns of new topics
    raise AssertionError("nothing could be published")


@pytest.mark.engine("rocketmq", "sqlite")
@pytest.mark.timeout(240)
async def test_a_debit_and_its_refund_survive_the_relay_s_death(town: Town) -> None:
    order_sn = (await town.place())["order_sn"]
    payment_sn = await pay(town, order_sn)
    await until_state(town, payment_sn, PaymentState.PAID)
    town.kill_relay()
    late = (await town.place())["order_sn"]
    late_sn = await pay(town, late)
    await town.http.post(f"/api/v1/orders/{late}/cancel", json={}, headers=town.bearer())
    town.start_relay()
    await until_state(town, late_sn, PaymentState.REFUNDED)
    assert await entries(town) == [-FEN, -FEN, FEN]
    await town.all_arrived()
    await town.check_doctor()


@pytest.mark.engine("rocketmq", "sqlite")
@pytest.mark.timeout(240)
async def test_an_answer_that_contradicts_us_or_is_forged_becomes_a_dead_letter(town: Town) -> None:
    town.kill_relay()  # so that the true answer does not come first
    payment_sn = await pay(town, (await town.place())["order_sn"])
    wallet = WalletAnswers(town.broker, town.sandbox.settings.wallet_key)
    stranger = WalletAnswers(town.broker, lambda: b"x" * 32)
    wrong = [
        answer(payment_sn, amount_fen=1),
        answer("P" + "0" * 27),
        ("bad", payment_sn, "wallet.debited", b"{"),
    ]
    for client, messages in ((wallet, wrong), (stranger, [answer(payment_sn)])):
        await client.open()
        for message in messages:
            await publish(client, message)
        await client.close()
    address = parse(town.broker)

    async def put_aside() -> bool:
        found = await Admin(address.namesrv).dead_letters(address)
        return found.get(WALLET_ANSWERS.name) == 4

    await town.until(put_aside, 120)
    assert (await town.core.store.payments.find(payment_sn)).state is PaymentState.PROCESSING
    alerts = town.core.metrics.alerts.labels("notice_mismatch")._value.get()
    assert alerts >= 2
    town.start_relay()
    await until_state(town, payment_sn, PaymentState.PAID)
