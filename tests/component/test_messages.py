"""Every type of message on the wire: what the relay and the wallet send is what `asyncapi.yaml` says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from copy import deepcopy
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, ValidationError

from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.status import PaymentType, RefundType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.pkg.message import ORDER_TIMEOUTS, WALLET_COMMANDS, WALLET_EVENTS, Message
from shop_order.service.pay import PayOrder
from shop_order.service.place import OrderRules, PlaceOrder
from shop_order.service.refund import RequestRefund
from tests.world.messages import check, document, messages, strict, validator
from tests.world.provider import Mini
from tests.world.shop import ADDRESS, World
from tests.world.wallet import HOUR_MS, WALLET, Town, buyer

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")

WEEK_MS = 604_800_000
ADMINS = (Actor(Role.ADMIN, 1), Actor(Role.ADMIN, 2))
NOTE, WISH, DECISION, CANCEL = "请放门卫处", "不合身", "照片收到", "地址写错"
PERSONAL = (*filter(None, ADDRESS.texts), NOTE, WISH, DECISION, CANCEL)


class Broker:
    """See `Publisher`: it takes everything; the wallet's commands are on their way then."""

    brokered = True

    def __init__(self, commands: list[bytes]) -> None:
        self.sent: list[Message] = []
        self._commands = commands

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def publish(self, messages: Sequence[Message]) -> set[str]:
        self.sent += messages
        self._commands += [one.body for one in messages if one.topic == WALLET_COMMANDS]
        return {one.id for one in messages}


class Overheard(Town):
    """A town with a broker, which remembers what was sent in both ways."""

    def __init__(self) -> None:
        rules = RefundRules(WEEK_MS, second_approval_fen=1)  # each refund needs two admins
        super().__init__(World(rules=OrderRules(unpaid_limit=0), refund_rules=rules))
        self.mini = Mini()
        self.world.other_channels = {**self.world.other_channels, PaymentType.WECHAT: self.mini}
        broker = Broker(self.commands)
        self.carry_by(broker)
        self.sent = broker.sent
        self.answered: list[bytes] = []

    async def deliver_answer(self, *bodies: bytes, actor: Actor = WALLET) -> list[str]:
        self.answered += bodies
        return await super().deliver_answer(*bodies, actor=actor)

    def bodies(self) -> list[tuple[str, bytes]]:
        """Every CloudEvent with its channel."""
        ours = [(one.topic, one.body) for one in self.sent if one.topic != ORDER_TIMEOUTS]
        return [*ours, *((WALLET_EVENTS, body) for body in self.answered)]

    # ---- what happens ----

    async def place(self, user: int, goods: int = 1) -> str:
        command = PlaceOrder(ADDRESS, (Line(goods, 2),), note=NOTE, return_url="https://shop.example/done")
        return (await self.world.placing.place(buyer(user), command)).result.order_sn

    async def money_arrives(self, payment_sn: str) -> None:
        """At Alipay, which tells us."""
        assert self.world.provider.pay(payment_sn)
        notice = self.world.provider.notice(payment_sn)
        await self.world.payments.provider_notice(PaymentType.ALIPAY, notice, {})

    async def ask(self, order_sn: str, **wish: Any) -> str:
        """The buyer asks for a refund: its number."""
        command = RequestRefund(order_sn, RefundWish(reason=WISH, **wish))
        return (await self.world.refunds.request(buyer(7), command)).result.refund_sn

    async def approve(self, refund_sn: str) -> None:
        for admin in ADMINS:
            await self.world.refunds.approve(admin, refund_sn, reason=DECISION)

    async def send_refunds(self, mode: Any = "up") -> None:
        """The provider answers like this."""
        self.world.provider.mode = mode
        self.world.real_ms += HOUR_MS
        await self.world.settlement.refund_due()


async def a_return_after_some_talk(town: Overheard) -> None:
    """Withdrawn, rejected, then returned; the provider closes the number first."""
    refunds, order_sn = town.world.refunds, await town.place(7)
    await town.money_arrives(await town.pay(7, order_sn, PaymentType.ALIPAY))
    await refunds.withdraw(buyer(7), await town.ask(order_sn, amount_fen=1))
    await refunds.reject(ADMINS[0], await town.ask(order_sn, amount_fen=1), DECISION)
    await town.world.orders.ship(ADMINS[0], order_sn, "顺丰", "SF1")
    await town.world.orders.confirm(buyer(7), order_sn)
    refund_sn = await town.ask(order_sn, type=RefundType.RETURN, lines=(Line(1, 1),))
    await town.approve(refund_sn)
    await refunds.send_parcel(buyer(7), refund_sn, "中通", "ZT1")
    await refunds.receive_goods(ADMINS[0], refund_sn)
    await town.send_refunds("closed")
    await refunds.resend(ADMINS[0], refund_sn)
    await town.send_refunds()


async def a_cancelled_order_is_paid(town: Overheard) -> None:
    """The money goes back, in the end by hand."""
    order_sn = await town.place(7)
    payment_sn = await town.pay(7, order_sn, PaymentType.ALIPAY)
    await town.world.orders.cancel(buyer(7), order_sn, CANCEL)
    await town.money_arrives(payment_sn)
    await town.send_refunds("abnormal")
    (refund_sn,) = (await town.world.store.orders.get(order_sn)).refunds
    await town.world.refunds.settle(ADMINS[0], refund_sn, DECISION)
    town.world.provider.mode = "up"


async def wechat_waits_for_the_parcel(town: Overheard) -> None:
    """Paid in a mini-program: WeChat is told of the shipping."""
    order_sn = await town.place(7)
    command = PayOrder(order_sn, PaymentType.WECHAT, "mini")
    payment_sn = (await town.world.payments.pay(buyer(7), command)).result.payment.payment_sn
    assert town.mini.pay(payment_sn)
    await town.world.payments.provider_notice(PaymentType.WECHAT, town.mini.notice(payment_sn), {})
    await town.world.orders.ship(ADMINS[0], order_sn, "顺丰", "SF1")
    await town.world.settlement.query_due()


async def a_debit_goes_back_and_another_is_refused(town: Overheard) -> None:
    """The refund cancels its order; the other buyer has too little money and lets the order expire."""
    order_sn = await town.place(7)
    await town.pay(7, order_sn)
    await town.exchange()
    await town.approve(await town.ask(order_sn, lines=(Line(1, 2),)))
    await town.send_refunds()
    await town.exchange()
    await town.pay(8, await town.place(8, goods=3))
    await town.exchange()
    await town.come_to_rest()


@pytest.fixture
async def town() -> AsyncIterator[Overheard]:
    """After a story in which every event happens."""
    running = Overheard()
    await running.open()
    for happens in (
        a_return_after_some_talk,
        a_cancelled_order_is_paid,
        wechat_waits_for_the_parcel,
        a_debit_goes_back_and_another_is_refused,
    ):
        await happens(running)
    yield running
    await running.close()


async def test_every_type_is_sent_as_the_document_says(town: Overheard) -> None:
    for channel, body in town.bodies():
        check(channel, [body])
    seen = {(channel, json.loads(body)["type"]) for channel, body in town.bodies()}
    seen |= {(one.topic, one.tag) for one in town.sent if one.topic == ORDER_TIMEOUTS}
    assert seen == {(channel, type) for channel in document()["channels"] for type in messages(channel)}


async def test_key_tag_and_headers_are_those_of_the_document(town: Overheard) -> None:
    for sent in town.sent:
        channel = document()["channels"][sent.topic]["x-topic"]
        assert bool(sent.deliver_ms) == (channel["kind"] == "DELAY")
        message = messages(sent.topic)[sent.tag]
        Draft202012Validator(strict([message["headers"]])).validate(dict(sent.properties))
        if sent.topic == ORDER_TIMEOUTS:
            assert (sent.body.decode(), sent.tag) == (sent.key, channel["tag"])
            validator(sent.topic, sent.tag).validate(sent.body.decode())
            continue
        event: Any = json.loads(sent.body)
        assert (sent.id, sent.tag) == (event["id"], event[channel["tag"]])
        assert sent.properties["version"] == str(event["data"]["version"])
        for name in channel["key"].split("."):
            event = event[name]
        assert sent.key == event


async def test_no_message_contains_personal_data(town: Overheard) -> None:
    for channel, body in town.bodies():
        text = body.decode()
        assert not [words for words in PERSONAL if words in text], channel


async def test_a_wrong_or_unknown_field_is_a_fault(town: Overheard) -> None:
    for channel, body in town.bodies():
        event = json.loads(body)
        valid = validator(channel, event["type"])
        for path, wrong in faults(event):
            with pytest.raises(ValidationError):
                valid.validate(wrong)
                pytest.fail(f"{event['type']} with a wrong {path} is taken")


def faults(event: Any) -> list[tuple[str, Any]]:
    """The event with one fault each: a field that is null or not known, at every depth."""
    found = []

    def at(path: Sequence[str | int], name: str | int, change: Any) -> None:
        wrong = deepcopy(event)
        place = wrong
        for step in path:
            place = place[step]
        change(place, name)
        found.append((f"{path}.{name}", wrong))

    def walk(node: Any, path: Sequence[str | int]) -> None:
        if isinstance(node, dict):
            at(path, "news", lambda place, name: place.update({name: 1}))
        for name in node if isinstance(node, dict) else range(len(node)):
            at(path, name, lambda place, name: place.__setitem__(name, None))
            if isinstance(node[name], dict | list):
                walk(node[name], [*path, name])

    walk(event, [])
    return found
