"""Order events and the wallet's messages on the message broker, for other services."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from shop_order.pkg.message import (
    ORDER_EVENTS,
    SIGNATURE,
    WALLET_COMMANDS,
    WALLET_EVENTS,
    Consumer,
    Delivery,
    Group,
    Handler,
    Message,
    open_consumer,
    open_publisher,
)


def order_events(url: str, group: str, handler: Handler, *, types: tuple[str, ...] = ()) -> Consumer:
    """A consumer of CloudEvents: at least once, in order per order; all types unless `types` is given.

    `url` is `rocketmq://proxy:8081[?namesrv=host:9876]`; with a name server, a missing consumer group is
    created. Raises ValueError for another engine.
    """
    return _consumer(url, group, handler, ORDER_EVENTS, types)


def wallet_commands(url: str, group: str, handler: Handler) -> Consumer:
    """A consumer of the wallet's commands, for the user service: at least once, in order per payment.

    Raises ValueError like `order_events`.
    """
    return _consumer(url, group, handler, WALLET_COMMANDS, ())


def _consumer(url: str, group: str, handler: Handler, topic: str, types: tuple[str, ...]) -> Consumer:
    consumer = open_consumer(url, handler, group=Group(group, in_order=True), topic=topic, tags=types)
    if consumer is None:
        raise ValueError("events are read from a broker: rocketmq://host:port")
    return consumer


class WalletAnswers:
    """Publishes the wallet's answers, for the user service. Raises ValueError for an unknown engine.

    `key` returns the key that signs them, one of the order service's `AUTH__WALLET_KEYS`; it is asked for
    each batch, so that keys can be replaced. The `source` of an answer must be in `AUTH__WALLET_SERVICES`.
    """

    def __init__(self, url: str, key: Callable[[], bytes]) -> None:
        self._publisher = open_publisher(url)
        self._key = key

    async def open(self) -> None:
        """Start; the broker may be unreachable."""
        await self._publisher.open()

    async def publish(self, answers: Sequence[tuple[str, str, str, bytes]]) -> set[str]:
        """Publish answers (id, payment number, type, CloudEvent); return the ids of those that were stored.

        Raises BrokerUnavailable if none was.
        """
        key = self._key()
        return await self._publisher.publish(
            [
                Message(id, WALLET_EVENTS, payment_sn, type, body, {SIGNATURE: signature(key, body)})
                for id, payment_sn, type, body in answers
            ]
        )

    async def close(self) -> None:
        """Stop."""
        await self._publisher.close()


def signature(key: bytes, body: bytes) -> str:
    """Return what proves an answer's sender, for those who publish without `WalletAnswers`."""
    return hmac.new(key, body, "sha256").hexdigest()


__all__ = ["Consumer", "Delivery", "Handler", "WalletAnswers", "order_events", "signature", "wallet_commands"]
