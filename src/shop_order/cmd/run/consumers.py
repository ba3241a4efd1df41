"""Our consumers of the broker: orders that time out, and the wallet's answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shop_order.cmd.wiring.core import Core
from shop_order.cmd.wiring.tracing import processing
from shop_order.configs.settings import key_bytes
from shop_order.domain.errors import Kind, OrderNotFound, OrderServiceError
from shop_order.pkg.log import get_logger
from shop_order.pkg.message import (
    ORDER_TIMEOUTS,
    TIMEOUTS,
    WALLET_ANSWERS,
    WALLET_EVENTS,
    Delivery,
    Handler,
    open_consumer,
)
from shop_order.pkg.signing import Signer
from shop_order.web.wallet_messages import SignedAnswers

log = get_logger("app")
RETRIABLE = (Kind.UNAVAILABLE, Kind.DEADLINE, Kind.EXHAUSTED, Kind.CONFLICT)
Work = Callable[[Delivery], Awaitable[None]]


class Consumers:
    """One consumer for each group; none without a broker, which calls the inboxes itself."""

    def __init__(self, core: Core) -> None:
        self._core = core
        url, auth = core.settings.message.url, core.settings.auth
        timeouts = self._handler("timeout_not_decided", self._decide)
        groups = [(TIMEOUTS, ORDER_TIMEOUTS, timeouts)]
        if auth.wallet_services and auth.wallet_keys:  # with a broker, production refuses to start without
            signer = Signer(key_bytes(auth.wallet_keys))
            signed = SignedAnswers(core.wallet_answers, signer, core.payments.on_forged)
            answers = self._handler("wallet_answer_refused", signed.take)
            groups.append((WALLET_ANSWERS, WALLET_EVENTS, answers))
        opened = [open_consumer(url, handle, group=group, topic=topic) for group, topic, handle in groups]
        self._consumers = [consumer for consumer in opened if consumer is not None]

    async def open(self) -> None:
        """Start them."""
        for consumer in self._consumers:
            await consumer.open()

    async def close(self) -> None:
        """Stop them."""
        for consumer in self._consumers:
            await consumer.close()

    @property
    def connected(self) -> bool:
        """Whether all of them receive messages."""
        return all(consumer.connected for consumer in self._consumers)

    def _handler(self, failure: str, work: Work) -> Handler:
        """A transient failure is retried. A permanent one would block a consumer thread: the message is
        refused, logged as `failure`, and becomes a dead letter."""

        async def handle(delivery: Delivery) -> bool:
            with processing(self._core.tracing, delivery):
                try:
                    await work(delivery)
                except Exception as failed:
                    if isinstance(failed, OrderServiceError) and failed.kind in RETRIABLE:
                        raise
                    log.exception(failure, key=delivery.key, error=repr(failed))
                    return False
            return True

        return handle

    async def _decide(self, delivery: Delivery) -> None:
        """Handle the delayed message that an order's time to pay is over; the scan covers lost messages."""
        try:
            await self._core.timeouts.decide(delivery.key)
        except OrderNotFound:
            return
