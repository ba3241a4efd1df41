"""Carriers of messages: everything arrives, each key's in order, and what was not taken is said so."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shop_order.cmd.cli.root import app as cli
from shop_order.cmd.run.relay import dead_letters
from shop_order.pkg.message import (
    GROUPS,
    ORDER_EVENTS,
    ORDER_TIMEOUTS,
    TOPICS,
    BrokerUnavailable,
    Delivery,
    Group,
    Handler,
    Message,
    Publisher,
    open_consumer,
    open_publisher,
)
from shop_order.pkg.message.rocketmq import admin, consumer, parse
from shop_order.pkg.message.rocketmq.admin import Admin
from tests.plugins.engines import available

PREFIX = f"t{uuid.uuid4().hex[:8]}"  # topics of this run: what others left there is not ours to read
BROKERS = available("rocketmq")
EMBEDDED = "embedded://"


class Carrier:
    """One engine: `publisher`, and consumers that remember what came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.came: list[bytes] = []
        self._exit = AsyncExitStack()

    async def open(self) -> None:
        if self.url != EMBEDDED:
            self.url += f"{'&' if '?' in self.url else '?'}prefix={PREFIX}"
            address = parse(self.url)
            await Admin(address.namesrv).make(address, TOPICS, GROUPS)
        self.publisher: Publisher = open_publisher(self.url, inboxes={ORDER_EVENTS: self._inbox})
        await self.publisher.open()
        self._exit.push_async_callback(self.publisher.close)

    async def close(self) -> None:
        await self._exit.aclose()

    async def _inbox(self, bodies: Sequence[bytes]) -> set[str]:
        """What an inbox does: bodies are `id|key|text`; nothing of a key is taken after an empty text."""
        accepted, blocked = set(), set()
        for body in bodies:
            id, key, text = body.split(b"|", 2)
            if not text or key in blocked:
                blocked.add(key)
                continue
            self.came.append(body)
            accepted.add(id.decode())
        return accepted

    async def consume(
        self, handler: Handler, *, topic: str = ORDER_EVENTS, tags: tuple[str, ...] = (), group: str = ""
    ) -> str:
        name = group or f"{PREFIX}-{uuid.uuid4().hex[:8]}"
        consumer = open_consumer(
            self.url, handler, group=Group(name, in_order=topic == ORDER_EVENTS), topic=topic, tags=tags
        )
        assert consumer is not None
        await consumer.open()
        self._exit.push_async_callback(consumer.close)
        return name


def message(key: str, text: str = "x", *, id: str = "", tag: str = "order.paid", late_ms: int = 0) -> Message:
    id = id or uuid.uuid4().hex
    return Message(
        id,
        ORDER_TIMEOUTS if late_ms else ORDER_EVENTS,
        key,
        tag,
        f"{id}|{key}|{text}".encode(),
        {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"},
        late_ms,
    )


def text_of(body: bytes) -> str:
    return body.split(b"|", 2)[2].decode()


def key() -> str:
    return uuid.uuid4().hex


async def until(true: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"not within {timeout_s} s"
        await asyncio.sleep(0.05)


async def settled(publish: Callable[[], Awaitable[set[str]]]) -> set[str]:
    """Until the proxy has heard of new topics."""
    for _ in range(60):
        try:
            if stored := await publish():
                return stored
        except BrokerUnavailable:
            await asyncio.sleep(0.5)
    raise AssertionError("nothing could be published")


@pytest.fixture(params=[EMBEDDED, *BROKERS])
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    made = Carrier(request.param)
    await made.open()
    await settled(lambda: made.publisher.publish([message("warm up")]))
    yield made
    await made.close()


@pytest.fixture(params=BROKERS)
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    made = Carrier(request.param)
    await made.open()
    await settled(lambda: made.publisher.publish([message("warm up")]))
    yield made
    await made.close()


class Mailbox:
    """A consumer's memory, by key."""

    def __init__(self) -> None:
        self.by_key: dict[str, list[str]] = defaultdict(list)
        self.deliveries: list[Delivery] = []

    async def __call__(self, delivery: Delivery) -> bool:
        self.deliveries.append(delivery)
        texts = self.by_key[delivery.key]
        if (text := text_of(delivery.body)) not in texts:  # at least once
            texts.append(text)
        return True


async def received(carrier: Carrier, keys: Sequence[str], count: int) -> dict[str, list[str]]:
    """The texts of these keys in the order in which they came, when `count` came in all."""
    if carrier.url == EMBEDDED:
        by_key: dict[str, list[str]] = defaultdict(list)
        for body in carrier.came:
            by_key[body.split(b"|")[1].decode()].append(text_of(body))
    else:
        box = Mailbox()
        await carrier.consume(box)
        await until(lambda: sum(len(box.by_key[k]) for k in keys) >= count)
        by_key = box.by_key
    return {k: by_key[k] for k in keys}


async def test_all_that_is_published_arrives_in_order_of_each_key(carrier: Carrier) -> None:
    keys = [key() for _ in range(12)]
    messages = [message(k, str(n)) for n in range(5) for k in keys]
    assert await carrier.publisher.publish(messages) == {m.id for m in messages}
    came = await received(carrier, keys, len(messages))
    assert came == {k: list("01234") for k in keys}


async def test_what_is_not_taken_holds_its_key_back_and_no_other(carrier: Carrier) -> None:
    bad, good = key(), key()
    messages = [
        message(bad, "1"),
        message(bad, ""),
        message(bad, "3"),
        message(good, "1"),
        message(good, "2"),
    ]
    if carrier.url != EMBEDDED:  # a broker takes any body but none
        messages[1] = Message(messages[1].id, ORDER_EVENTS, bad, "order.paid", b"")
    stored = await carrier.publisher.publish(messages)
    assert stored == {m.id for m in messages} - {messages[1].id, messages[2].id}
    assert await received(carrier, [bad, good], 3) == {bad: ["1"], good: ["1", "2"]}


async def test_bodies_arrive_as_they_were(carrier: Carrier) -> None:
    of = key()
    text = "顺丰 👍 \n\x00 |" + "x" * 20_000
    await carrier.publisher.publish([message(of, text)])
    assert await received(carrier, [of], 1) == {of: [text]}


async def test_a_delivery_tells_key_tag_and_trace(broker: Carrier) -> None:
    box, of = Mailbox(), key()
    await broker.publisher.publish([message(of, tag="order.shipped")])
    await broker.consume(box)
    await until(lambda: bool(box.by_key[of]))
    (delivery,) = [d for d in box.deliveries if d.key == of]
    assert (delivery.tag, delivery.attempt) == ("order.shipped", 1)
    assert delivery.properties["traceparent"].startswith("00-aaaa")


async def test_a_group_reads_the_tags_it_asked_for(broker: Carrier) -> None:
    box, of = Mailbox(), key()
    tags = ("order.paid", "order.cancelled", "order.shipped", "order.paid")
    await broker.publisher.publish([message(of, f"{n} {tag}", tag=tag) for n, tag in enumerate(tags)])
    await broker.consume(box, tags=("order.paid", "order.cancelled"))
    await until(lambda: len(box.by_key[of]) >= 3)
    assert box.by_key[of] == ["0 order.paid", "1 order.cancelled", "3 order.paid"]


async def test_trouble_of_a_consumer_brings_the_message_again_and_nothing_overtakes(broker: Carrier) -> None:
    of, seen = key(), list[str]()

    async def troubled(delivery: Delivery) -> bool:
        if delivery.key == of:
            seen.append(text_of(delivery.body))
            if seen.count("1") < 3:
                raise OSError("the disk is full")
        return True

    await broker.publisher.publish([message(of, "1"), message(of, "2")])
    await broker.consume(troubled)
    await until(lambda: "2" in seen)
    assert seen == ["1", "1", "1", "2"]


async def test_what_can_not_be_done_goes_to_the_dead_letters(
    broker: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MAX_RETRIES", 1)
    monkeypatch.setattr(admin, "RETRY_S", (1,))
    of, seen = key(), list[str]()

    async def hopeless(delivery: Delivery) -> bool:
        if delivery.key == of:
            seen.append(text_of(delivery.body))
            return seen[-1] != "1"
        return True

    await broker.publisher.publish([message(of, "1"), message(of, "2")])
    group = await broker.consume(hopeless)
    await until(lambda: "2" in seen)
    assert seen == ["1", "1", "2"]
    assert (await dead_letters(broker.url))[group] == 1


async def test_a_message_is_held_back_until_its_time(broker: Carrier) -> None:
    of, came = key(), list[float]()

    async def clock(delivery: Delivery) -> bool:
        if delivery.key == of:
            came.append(time.time())
        return True

    await broker.consume(clock, topic=ORDER_TIMEOUTS)
    due = time.time() + 2.5
    await settled(lambda: broker.publisher.publish([message(of, late_ms=int(due * 1000))]))
    await until(lambda: bool(came))
    assert due <= came[0] <= due + 5


async def test_a_message_that_no_broker_would_take_is_not_taken_for_an_outage(broker: Carrier) -> None:
    empty = Message("1", ORDER_EVENTS, key(), "order.paid", b"")
    huge = Message("2", ORDER_EVENTS, key(), "order.paid", b"x" * 5_000_000)
    assert await broker.publisher.publish([empty, huge]) == set()


async def test_no_broker_is_said_at_once_and_opening_does_not_mind() -> None:
    publisher = open_publisher("rocketmq://127.0.0.1:9")
    await publisher.open()
    try:
        with pytest.raises(BrokerUnavailable):
            await publisher.publish([message(key())])
    finally:
        await publisher.close()


async def test_a_consumer_waits_for_its_broker_and_can_be_closed_meanwhile() -> None:
    consumer = open_consumer(
        "rocketmq://127.0.0.1:9", Mailbox(), group=Group("g", in_order=True), topic=ORDER_EVENTS
    )
    assert consumer is not None
    await consumer.open()
    await asyncio.sleep(0.2)
    assert not consumer.connected
    await asyncio.wait_for(consumer.close(), 20)


@pytest.mark.parametrize("url", BROKERS)
def test_migrate_makes_the_topics_of_the_contract_and_may_be_repeated(url: str, tmp_path: Path) -> None:
    name = f"m{uuid.uuid4().hex[:8]}"
    url = f"{url}{'&' if '?' in url else '?'}prefix={name}"
    environ = {"SHOP_ORDER_DATA_DIR": str(tmp_path), "SHOP_ORDER_MESSAGE__URL": url}
    for _ in range(2):
        done = CliRunner().invoke(cli, ["migrate"], env=environ)
        assert done.exit_code == 0, done.output
        assert "the broker has the topics and groups" in done.stderr
    made = asyncio.run(Admin(parse(url).namesrv).topic_types(name))
    assert made == {f"{name}-{topic.name}": topic.kind for topic in TOPICS}


def test_migrate_prints_commands_where_it_may_not_make_topics(tmp_path: Path) -> None:
    environ = {
        "SHOP_ORDER_DATA_DIR": str(tmp_path),
        "SHOP_ORDER_MESSAGE__URL": "rocketmq://127.0.0.1:9",
    }
    done = CliRunner().invoke(cli, ["migrate"], env=environ)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("mqadmin updateTopic ") == len(TOPICS)
