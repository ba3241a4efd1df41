"""The stories of `tests/property/test_wallet` told through a real broker: it carries every message both ways.

Consumers lose messages, and die before or after their work; the service restarts. At the end the sums hold.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest

from shop_order.api.client.events import signature, wallet_commands
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import AmountMismatch, Forbidden, OrderServiceError, SignatureInvalid
from shop_order.domain.status import PaymentState, PaymentType
from shop_order.pkg.message import (
    GROUPS,
    SIGNATURE,
    TOPICS,
    WALLET_ANSWERS,
    WALLET_EVENTS,
    BrokerUnavailable,
    Delivery,
    Handler,
    Message,
    open_consumer,
    open_publisher,
)
from shop_order.pkg.message.rocketmq import parse
from shop_order.pkg.message.rocketmq.admin import Admin
from shop_order.pkg.signing import Signer
from shop_order.web.wallet_messages import SignedAnswers
from shop_sandbox.answers import AnswerSender, BrokerCarrier
from shop_sandbox.rocketmq import execute_with
from tests.plugins.engines import available
from tests.world.wallet import Town, altered, buyer

KEY = b"k" * 32  # the wallet's
DELIVERIES = 4  # of a message that is refused; then it is a dead letter
REST_S = 90.0
STEPS = 60


class Killed(Exception):
    """A consumer that dies at this point."""


class BrokerTown(Town):
    """A town whose messages go through a broker; `unlucky` decides what happens to each."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__()
        self.url = f"{url}{'&' if '?' in url else '?'}prefix=t{uuid.uuid4().hex[:8]}"
        self.random = random.Random(seed)
        self.faults = True
        self.answered: list[Delivery] = []
        self.forged: list[str] = []
        self.happened: set[str] = set()
        self._exit = AsyncExitStack()

    async def open(self) -> BrokerTown:
        address = parse(self.url)
        await Admin(address.namesrv).make(address, TOPICS, GROUPS)
        self.publisher = open_publisher(self.url)
        self.carry_by(self.publisher)
        await self.publisher.open()
        self._exit.push_async_callback(self.publisher.close)
        await super().open()
        carrier = BrokerCarrier(self.url, lambda: KEY)
        await carrier.open()
        self._exit.push_async_callback(carrier.close)
        self.sender = AnswerSender(self.users_db, carrier, self.world.real_now, interval_s=1)
        commands = wallet_commands(self.url, "shop-wallet", self._unlucky(execute_with(self.wallet)))
        answers = open_consumer(
            self.url, self._unlucky(self._take), group=WALLET_ANSWERS, topic=WALLET_EVENTS
        )
        assert answers is not None
        for consumer in (commands, answers):
            await consumer.open()
            self._exit.push_async_callback(consumer.close)
        await until(lambda: commands.connected and answers.connected)
        return self

    async def close(self) -> None:
        await self._exit.aclose()
        await super().close()

    async def _take(self, delivery: Delivery) -> bool:
        """As `cmd.run.consumers` does."""
        self.answered.append(delivery)
        signed = SignedAnswers(self.world.wallet_answers, Signer([KEY]), self.forged.append)
        try:
            await signed.take(delivery)
        except (AmountMismatch, SignatureInvalid, Forbidden):
            return False
        return True

    def _unlucky(self, handle: Handler) -> Handler:
        async def handled(delivery: Delivery) -> bool:
            fate = self.random.choice(["lost", "before", "after", "done", "done"]) if self.faults else "done"
            self.happened.add(fate)
            if fate == "lost":
                return True
            if fate == "before":
                raise Killed
            done = await handle(delivery)
            if fate == "after":
                raise Killed
            return done

        return handled

    async def step(self, orders: list[tuple[int, str]]) -> None:
        """Something happens, at random."""
        user, order_sn = self.random.choice(orders) if orders else (0, "")
        what = self.random.choice(["buy", "buy", "switch", "cancel", "refund", "alipay", "jobs", "crash"])
        if what == "buy" or not order_sn:
            user = self.random.choice([7, 8])
            orders.append((user, await self.buy(user, self.random.choice([1, 2, 3]))))
        elif what == "jobs":
            self.world.real_ms += self.random.choice([31_000, 600_000])
            await self.jobs()
        elif what == "crash":
            await self.world.restart()
        elif what == "alipay":
            await self._pay_at_the_other_provider()
        else:
            moves: dict[str, Callable[[], Awaitable[object]]] = {
                "switch": lambda: self.pay(user, order_sn, PaymentType.ALIPAY),
                "cancel": lambda: self.world.orders.cancel(buyer(user), order_sn),
                "refund": lambda: self.refund(order_sn, 5),
            }
            with suppress(OrderServiceError):
                await moves[what]()
        await self.carry()

    async def _pay_at_the_other_provider(self) -> None:
        provider = self.world.provider
        for sn in provider.ledger:
            if provider.pay(sn):
                await self.world.payments.provider_notice(PaymentType.ALIPAY, provider.notice(sn), {})
                return

    async def publish(self, message: Message) -> None:
        """Anybody who reaches the broker publishes this."""
        async with asyncio.timeout(30):
            while True:
                with suppress(BrokerUnavailable):  # new topics are known after some seconds
                    if await self.publisher.publish([message]):
                        return
                await asyncio.sleep(0.25)

    async def carry(self) -> None:
        """The relay and the wallet publish what waits."""
        for publish in (self.world.relay.run_once, self.sender.send_once):
            with suppress(OrderServiceError, BrokerUnavailable):  # new topics are known after some seconds
                await publish()

    async def rest(self) -> None:
        """Without further faults, until the books are clean. Raises the last AssertionError."""
        self.faults = False
        end = time.monotonic() + REST_S
        while True:
            self.world.real_ms += 600_000
            await self.jobs()
            for _ in range(4):
                await self.carry()
                await asyncio.sleep(0.25)
            try:
                return self.check_at_rest()
            except AssertionError:
                if time.monotonic() > end:
                    raise


async def until(true: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


@pytest.fixture(params=[(url, seed) for url in available("rocketmq") for seed in (1, 2)], ids=str)
async def town(request: pytest.FixtureRequest) -> AsyncIterator[BrokerTown]:
    made = BrokerTown(*request.param)
    await made.open()
    yield made
    await made.close()


@pytest.mark.engine("rocketmq")
@pytest.mark.timeout(300)
async def test_the_sums_hold_whatever_becomes_of_messages(town: BrokerTown) -> None:
    orders: list[tuple[int, str]] = []
    for _ in range(STEPS):
        await town.step(orders)
        town.check_now()
        await asyncio.sleep(0.02)
    await town.rest()
    assert town.happened == {"lost", "before", "after", "done"}
    assert [name for name, _ in town.world.alerts if name == "notice_mismatch"] == [] == town.forged
    before = town.wallet_rows("SELECT * FROM ledger")
    bodies = [altered(one.body, amount_fen=1) for one in town.answered[:3]]
    signed = [Delivery("k", "t", body, {SIGNATURE: signature(KEY, body)}, 1) for body in bodies]
    assert [await town._take(one) for one in signed] == [False] * len(bodies)
    assert town.forged == []
    assert town.wallet_rows("SELECT * FROM ledger") == before
    town.check_at_rest()


def debited(payment: Payment, source: str = "wallet") -> bytes:
    data = {"payment_sn": payment.payment_sn, "user_id": payment.user, "amount_fen": payment.amount_fen}
    event = {"specversion": "1.0", "id": "forged", "source": source, "type": "wallet.debited", "data": data}
    return json.dumps(event).encode()


@pytest.mark.engine("rocketmq")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("town", [(url, 1) for url in available("rocketmq")], indirect=True, ids=str)
async def test_an_answer_that_the_wallet_did_not_sign_pays_nothing(town: BrokerTown) -> None:
    town.faults = False
    order_sn = await town.buy(7)

    async def payment() -> Payment:
        (one,) = (await town.world.store.orders.get(order_sn)).payments.values()
        return one

    body, of_another = debited(await payment()), debited(await payment(), "inventory")
    for number, (told, properties) in enumerate(
        (
            (body, {}),
            (body, {SIGNATURE: signature(b"x" * 32, body)}),
            (of_another, {SIGNATURE: signature(KEY, of_another)}),
        )
    ):
        sn = (await payment()).payment_sn
        await town.publish(Message(str(number), WALLET_EVENTS, sn, "wallet.debited", told, properties))
    await until(lambda: len(town.forged) == 3 * DELIVERIES, 120)
    assert (await payment()).state is PaymentState.PROCESSING
    assert town.wallet_rows("SELECT count(*) FROM wallet_debit") == [(0,)]
    async with asyncio.timeout(60):  # the wallet's own answer comes behind them
        while (await payment()).state is not PaymentState.PAID:
            await town.carry()
            await asyncio.sleep(0.25)
    assert len(town.forged) == 3 * DELIVERIES
    town.check_now()
