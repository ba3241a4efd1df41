"""Messages between services; the scheme of the URL picks the engine (contract, section 9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

ORDER_EVENTS = "order-events"
ORDER_TIMEOUTS = "order-timeouts"
WALLET_COMMANDS = "wallet-commands"
WALLET_EVENTS = "wallet-events"
QUEUES = 8
SIGNATURE = "x-shop-signature"
"""The property of a wallet's answer that proves its sender: HMAC-SHA256 of the body, in lower-case hex."""

RETRY_S = (1, 2, 4, 8)  # after a failed attempt; the last one is repeated
MAX_RETRIES = 3  # of a refused message, before it becomes a dead letter of the group


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic; `kind` is FIFO (in order per key) or DELAY (delivered at a given time)."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Group:
    """Consumers that share the messages of a topic; `in_order` keeps the order of each key."""

    name: str
    in_order: bool


TOPICS = (
    Topic(ORDER_EVENTS, "FIFO"),
    Topic(ORDER_TIMEOUTS, "DELAY"),
    Topic(WALLET_COMMANDS, "FIFO"),
    Topic(WALLET_EVENTS, "FIFO"),
)
TIMEOUTS = Group("order-service-timeouts", in_order=False)
WALLET_ANSWERS = Group("order-service-wallet", in_order=True)
GROUPS = (TIMEOUTS, WALLET_ANSWERS)


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send. `id` is unique within a call; messages of one `key` keep their order.

    With `deliver_ms` (epoch ms, real time), it is delivered at that time and in no order.
    """

    id: str
    topic: str
    key: str
    tag: str
    body: bytes
    properties: Mapping[str, str] = field(default_factory=dict)
    deliver_ms: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A received message; it may be received more than once. `attempt` counts from 1."""

    key: str
    tag: str
    body: bytes
    properties: Mapping[str, str]
    attempt: int


Handler = Callable[[Delivery], Awaitable[bool]]
"""True: done. False: refused; after MAX_RETRIES the message becomes a dead letter.
An exception is a failure of the consumer: the message is redelivered until it is done."""


class BrokerUnavailable(Exception):
    """The broker can't be reached; it is unknown whether any message was stored."""


class Publisher(Protocol):
    """The sending side."""

    brokered: bool
    """Whether there is a broker: it delays messages, carries properties, and needs a relay process."""

    async def open(self) -> None:
        """Start; an unreachable broker is no error."""

    async def close(self) -> None:
        """Stop."""

    async def publish(self, messages: Sequence[Message]) -> set[str]:
        """Send messages; return the ids of those that were stored.

        After a failed message, no other of its key is sent. Raises BrokerUnavailable if none could be sent.
        """


class Consumer(Protocol):
    """The receiving side: calls its handler until it is closed."""

    async def open(self) -> None:
        """Start; connects in the background when the broker can be reached."""

    async def close(self) -> None:
        """Accept no new messages; those being handled are finished or redelivered."""

    @property
    def connected(self) -> bool:
        """Whether messages are being received."""


HandOver = Callable[[Sequence[bytes]], Awaitable[set[str]]]
"""Delivers message bodies to the inboxes of a topic, in order; returns the ids that all of them accepted."""


class EmbeddedPublisher:
    """See `Publisher`; sends only the bodies, to the inboxes of their topic."""

    brokered = False

    def __init__(self, inboxes: Mapping[str, HandOver]) -> None:
        self._inboxes = inboxes

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def publish(self, messages: Sequence[Message]) -> set[str]:
        """Raises what the inboxes raise; messages of a topic without inboxes are not stored."""
        stored: set[str] = set()
        for topic, hand_over in self._inboxes.items():
            if sent := [message for message in messages if message.topic == topic]:
                accepted = await hand_over([message.body for message in sent])
                stored |= {message.id for message in sent if message.id in accepted}
        return stored


def open_publisher(url: str, *, inboxes: Mapping[str, HandOver] = MappingProxyType({})) -> Publisher:
    """Return the publisher of an engine URL, not opened yet; `embedded:` delivers to the topics' `inboxes`.

    Raises ValueError for an unknown scheme or an invalid URL.
    """
    scheme = url.partition(":")[0]
    if scheme == "embedded":
        return EmbeddedPublisher(inboxes)
    if scheme == "rocketmq":
        from shop_order.pkg.message.rocketmq import parse
        from shop_order.pkg.message.rocketmq.publisher import RocketPublisher

        return RocketPublisher(parse(url))
    raise ValueError(f"no messages over {scheme}:")


def open_consumer(
    url: str, handler: Handler, *, group: Group, topic: str, tags: tuple[str, ...] = ()
) -> Consumer | None:
    """Return a consumer, not opened yet; None for `embedded:`, which calls the inboxes itself.

    Without `tags` it receives every message of the topic. Raises ValueError like `open_publisher`.
    """
    scheme = url.partition(":")[0]
    if scheme == "embedded":
        return None
    if scheme == "rocketmq":
        from shop_order.pkg.message.rocketmq import parse
        from shop_order.pkg.message.rocketmq.consumer import RocketConsumer

        return RocketConsumer(parse(url), handler, group=group, topic=topic, tags=tags)
    raise ValueError(f"no messages over {scheme}:")
