"""Which topics there are (contract, section 9), and which groups read them."""

from __future__ import annotations

from dataclasses import dataclass

ORDER_EVENTS = "order-events"
ORDER_TIMEOUTS = "order-timeouts"
QUEUES = 8

RETRY_S = (1, 2, 4, 8)  # after a vain attempt; the last one stands for all later ones
MOST_RETRIES = 3  # of a message that was refused; then it goes to the group's dead letters


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic; `kind` is FIFO (in order per key) or DELAY (held back until a time)."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Group:
    """Consumers that share the messages of a topic; `in_order` keeps each key's."""

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
