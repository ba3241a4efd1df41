"""The wallet's answers as a broker would deliver them to the whole Shop: what our consumer believes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shop_order.api.client.events import signature
from shop_order.cmd.run import consumers
from shop_order.domain.status import PaymentState
from shop_order.pkg.message import SIGNATURE, WALLET_ANSWERS, WALLET_EVENTS, Delivery, Group, Handler, Message
from shop_order.service.alerts import MANY_FORGED
from shop_sandbox.answers import AnswerSender, BrokerCarrier
from tests.balance import GOODS_FEN, alerts, answer, attempt, hold_answers, pay
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path) as running:
        await hold_answers(running)
        yield running


class Log:
    """What the consumer tells its log."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def exception(self, event: str, **about: Any) -> None:
        self.told.append(event)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(consumers, "log", made)
    return made


@pytest.fixture
def handlers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> dict[str, Handler]:
    """What the service would give to a broker, by group."""
    found: dict[str, Handler] = {}

    def opened(_: str, handler: Handler, *, group: Group, topic: str) -> None:
        found[group.name] = handler

    monkeypatch.setattr(consumers, "open_consumer", opened)
    consumers.Consumers(shop.core)
    return found


@pytest.fixture
def take(handlers: dict[str, Handler]) -> Handler:
    return handlers[WALLET_ANSWERS.name]


def delivery(body: bytes, **properties: str) -> Delivery:
    named = {name.replace("_", "-"): value for name, value in properties.items()}
    return Delivery("P1", "wallet.debited", body, named, 1)


def signed(shop: Shop, body: bytes) -> Delivery:
    return delivery(body, x_shop_signature=signature(shop.sandbox.settings.wallet_key(), body))


async def test_a_forged_answer_pays_nothing(shop: Shop, take: Handler, log: Log) -> None:
    order_sn = (await shop.place())["order_sn"]
    payment_sn = await pay(shop, order_sn)
    right = answer("wallet.debited", payment_sn)
    other = right.replace(b'"source": "wallet"', b'"source": "inventory"')
    assert other != right
    forged = [
        delivery(right),
        delivery(right, x_shop_signature=""),
        delivery(right, x_shop_signature=signature(b"x" * 32, right)),
        delivery(right, x_shop_signature=signature(shop.sandbox.settings.wallet_key(), other)),
        signed(shop, other),
    ]
    version = (await shop.order(order_sn))["version"]
    assert [await take(one) for one in forged] == [False] * len(forged)
    assert (await attempt(shop, payment_sn)).state is PaymentState.PROCESSING
    assert (await shop.order(order_sn))["version"] == version
    assert log.told == ["wallet_answer_refused"] * len(forged)
    assert alerts(shop, "notice_mismatch") == 0, "what it says is not even looked at"
    assert await take(signed(shop, right)) is True
    assert (await attempt(shop, payment_sn)).state is PaymentState.PAID


async def test_what_the_wallet_signed_must_still_match(shop: Shop, take: Handler, log: Log) -> None:
    payment_sn = await pay(shop, (await shop.place())["order_sn"])
    wrong = answer("wallet.debited", payment_sn, amount_fen=GOODS_FEN - 1)
    assert await take(signed(shop, wrong)) is False
    assert (await attempt(shop, payment_sn)).state is PaymentState.PROCESSING
    assert alerts(shop, "notice_mismatch") == 1
    assert log.told == ["wallet_answer_refused"]


async def test_many_forged_answers_are_an_alert(shop: Shop, take: Handler, log: Log) -> None:
    forged = delivery(answer("wallet.debited", "P1"))
    for _ in range(MANY_FORGED - 1):
        await take(forged)
    assert alerts(shop, "notices_forged") == 0
    await take(forged)
    assert alerts(shop, "notices_forged") == 1
    assert len(log.told) == MANY_FORGED


class Broker:
    """A publisher that keeps what it gets."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def publish(self, messages: Sequence[Message]) -> set[str]:
        self.sent += messages
        return {message.id for message in messages}


async def test_the_sandbox_signs_what_its_wallet_answers(
    shop: Shop, take: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker()
    monkeypatch.setattr("shop_order.api.client.events.open_publisher", lambda _: broker)
    carrier = BrokerCarrier("rocketmq://none:1", shop.sandbox.settings.wallet_key)
    sender = AnswerSender(shop.sandbox.users_db, carrier, lambda: 2**50, interval_s=1)
    payment_sn = await pay(shop, (await shop.place())["order_sn"])

    async def answered() -> bool:
        return await sender.send_once() > 0

    await shop.until(answered)
    (message,) = broker.sent
    assert (message.topic, message.key, [*message.properties]) == (WALLET_EVENTS, payment_sn, [SIGNATURE])
    assert await take(Delivery(message.key, message.tag, message.body, message.properties, 1)) is True
    assert (await attempt(shop, payment_sn)).state is PaymentState.PAID


async def test_without_a_wallet_there_is_no_consumer_of_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    monkeypatch.setattr(consumers, "open_consumer", lambda _, __, *, group, topic: found.append(group.name))
    async with Shop(tmp_path, AUTH__WALLET_SERVICES="") as shop:
        found.clear()
        consumers.Consumers(shop.core)
    assert found == ["order-service-timeouts"]
