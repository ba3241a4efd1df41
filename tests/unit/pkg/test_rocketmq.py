"""What can be said of RocketMQ without one: its URL, the commands for its keeper, and what a relay sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from shop_order.domain.event.order_events import GENESIS, Event, payload
from shop_order.gateway.events import MAX_DELAY_MS, MessageEventPublisher
from shop_order.pkg.message import GROUPS, ORDER_EVENTS, ORDER_TIMEOUTS, TOPICS, Group, Message, Topic
from shop_order.pkg.message.rocketmq import RocketMQAddress, parse
from shop_order.pkg.message.rocketmq.admin import commands, group_config, topic_fields

NOW_MS = 1_795_000_000_000
SN = "261121080000123456789012345"


def test_the_url_says_everything() -> None:
    url = "rocketmq://ak:s%40k@a:8081,b-1.x:8082?namesrv=n:9876&prefix=test"
    address = parse(url)
    assert address == RocketMQAddress(("a:8081", "b-1.x:8082"), "n:9876", "test", "ak", "s@k")
    assert address.full("order-events") == "test-order-events"
    assert parse("rocketmq://a:8081").full("order-events") == "order-events"


@pytest.mark.parametrize(
    "url",
    [
        "rocketmq://",
        "rocketmq://host",
        "rocketmq://a:8081,",
        "rocketmq://a:8081/path",
        "rocketmq://a:8081?names=n:9876",
        "rocketmq://a:8081?namesrv=n",
        "rocketmq://a:8081?prefix=a%25b",
    ],
)
def test_a_bad_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as refused:
        parse(url.replace("://", "://me:geheim@"))
    assert "geheim" not in str(refused.value)


def test_the_topics_are_those_of_the_contract() -> None:
    kinds = {topic.name: topic.kind for topic in TOPICS}
    assert kinds == {
        "order-events": "FIFO",
        "order-timeouts": "DELAY",
        "wallet-commands": "FIFO",
        "wallet-events": "FIFO",
    }
    address = RocketMQAddress(("p:1",), prefix="x")
    assert topic_fields(address, Topic("t", "FIFO"))["attributes"] == "+message.type=FIFO"
    assert group_config(address, Group("g", in_order=True))["consumeMessageOrderly"] is True


def test_a_keeper_gets_a_command_for_each_topic_and_group() -> None:
    lines = commands(RocketMQAddress(("p:1",), prefix="x"), TOPICS, GROUPS)
    assert (
        lines[0] == "mqadmin updateTopic -c DefaultCluster -t x-order-events -r 8 -w 8 -a +message.type=FIFO"
    )
    assert lines[-2:] == [
        "mqadmin updateSubGroup -c DefaultCluster -g x-order-service-timeouts -r 16 -o false",
        "mqadmin updateSubGroup -c DefaultCluster -g x-order-service-wallet -r 10000 -o true",
    ]
    assert len(lines) == len(TOPICS) + len(GROUPS)


class Recording:
    """A broker that takes all but what it is told to refuse."""

    brokered = True

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.refused: set[str] = set()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def publish(self, messages: Sequence[Message]) -> set[str]:
        self.messages += messages
        return {message.id for message in messages} - self.refused


def event(id: int, type: str, **data: object) -> Event:
    return Event(id, SN, 1, type, payload({"version": 1, **data}), GENESIS, bytes(range(32)), NOW_MS)


def events_over(broker: Recording, *, ahead_ms: int = 0) -> MessageEventPublisher:
    return MessageEventPublisher(broker, now_ms=lambda: NOW_MS, ahead_ms=lambda: ahead_ms)


async def test_a_new_order_sends_its_event_and_a_message_for_its_end() -> None:
    broker = Recording()
    new = event(7, "order.created", expire_at_ms=NOW_MS + 1_800_000)
    assert await events_over(broker).deliver([new, event(8, "order.paid")]) == [7, 8]
    first, end, paid = broker.messages
    assert (first.topic, first.key, first.tag, first.deliver_ms) == (ORDER_EVENTS, SN, "order.created", 0)
    assert (end.topic, end.key, end.body, end.deliver_ms) == (
        ORDER_TIMEOUTS,
        SN,
        SN.encode(),
        NOW_MS + 1_800_000,
    )
    assert paid.topic == ORDER_EVENTS
    traces = {message.properties["traceparent"].split("-")[1] for message in broker.messages}
    assert len(traces) == 1


async def test_the_event_counts_as_sent_only_with_its_message_for_the_end() -> None:
    broker = Recording()
    broker.refused = {"7/late"}
    assert await events_over(broker).deliver([event(7, "order.created", expire_at_ms=NOW_MS + 1)]) == []


async def test_an_end_too_far_off_is_left_to_the_scan() -> None:
    broker = Recording()
    far = event(7, "order.created", expire_at_ms=NOW_MS + MAX_DELAY_MS)
    assert await events_over(broker).deliver([far]) == [7]
    assert [message.topic for message in broker.messages] == [ORDER_EVENTS]


async def test_the_end_is_told_in_real_time_when_the_shops_clock_was_moved() -> None:
    broker = Recording()
    new = event(7, "order.created", expire_at_ms=NOW_MS + 3_600_000)
    await events_over(broker, ahead_ms=1_800_000).deliver([new])
    assert broker.messages[1].deliver_ms == NOW_MS + 1_800_000


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b'{"payment_type": 3}', b"null"])
async def test_an_altered_event_holds_back_its_own_order_alone(content: bytes) -> None:
    broker = Recording()
    altered = replace(event(7, "payment.opened"), payload=content)
    later = replace(event(8, "order.paid"), version=2)
    other = replace(event(9, "order.paid"), order_sn=SN[::-1])
    assert await events_over(broker).deliver([altered, later, other]) == [9]
    assert [message.key for message in broker.messages] == [other.order_sn]
