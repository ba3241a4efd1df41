"""What a message engine must do, and which topics and groups there are (contract, section 9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

ORDER_EVENTS = "order-events"
ORDER_TIMEOUTS = "order-timeouts"
QUEUES = 8

RETRY_S = (1, 2, 4, 8)  # after a failed attempt; the last one is repeated
MAX_RETRIES = 3  # of a refused message; then it goes to the group's dead letters


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic; `kind` is FIFO (in order per key) or DELAY (held back until a time)."""

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
    Topic("wallet-commands", "FIFO"),
    Topic("wallet-events", "FIFO"),
)
TIMEOUTS = Group("order-service-timeouts", in_order=False)
GROUPS = (TIMEOUTS,)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `id` is unique within a call; messages of one `key` keep their order.

    With `deliver_ms` (epoch ms, real time) it is held back until then, and has no order.
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
    """A message as a consumer gets it, at least once; `attempt` counts from 1."""

    key: str
    tag: str
    body: bytes
    properties: Mapping[str, str]
    attempt: int


Handler = Callable[[Delivery], Awaitable[bool]]
"""True: done. False: refused; after MAX_RETRIES the message goes to the dead letters.
An exception is a failure of the consumer: the message is redelivered until it is done."""


class BrokerUnavailable(Exception):
    """The broker can't be reached: none of the messages is known to be stored."""


class Publisher(Protocol):
    """The sending side."""

    brokered: bool
    """A broker is involved: it delays messages, carries properties, and has a relay of its own."""

    async def open(self) -> None:
        """Begin; an unreachable broker is no error."""

    async def close(self) -> None:
        """Close what was opened."""

    async def publish(self, messages: Sequence[Message]) -> set[str]:
        """Send messages; the ids of those that were stored.

        After a failed one, no other of its key is sent. Raises BrokerUnavailable if nothing could be sent.
        """


class Consumer(Protocol):
    """The receiving side: calls its handler until it is closed."""

    async def open(self) -> None:
        """Begin; an unreachable broker is waited for in the background."""

    async def close(self) -> None:
        """Take no new messages; those being handled are finished or redelivered."""

    @property
    def connected(self) -> bool:
        """Whether messages arrive now."""
