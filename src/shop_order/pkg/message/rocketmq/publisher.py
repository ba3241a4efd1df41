"""Sends through the proxy from a thread of its own: the client blocks while it looks for routes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from shop_order.pkg.log import get_logger
from shop_order.pkg.message.base import BrokerUnavailable, Message
from shop_order.pkg.message.rocketmq import RocketMQAddress, configuration, library

log = get_logger("message")
IN_FLIGHT = 128  # messages on their way at once
SEND_S = 12.0  # the client tries three times, three seconds each
MS = 1000
T = TypeVar("T")


class RocketPublisher:
    """See `base.Publisher`. Messages of one topic and key form a queue: each waits for the one before it."""

    brokered = True

    def __init__(self, address: RocketMQAddress) -> None:
        self._address = address
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rocketmq-send")
        self._producer: Any = None

    async def open(self) -> None:
        """Begin; the broker may be away. Raises ImportError without the extra `rocketmq`."""
        await self._in_thread(self._start)

    async def close(self) -> None:
        """Close the producer, if it was opened."""
        await self._in_thread(self._stop)
        self._thread.shutdown()

    async def publish(self, messages: Sequence[Message]) -> set[str]:
        """See `base.Publisher`; different queues are sent concurrently, at most IN_FLIGHT."""
        return await self._in_thread(lambda: self._publish(messages))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _start(self) -> None:
        self._producer = library().Producer(configuration(self._address))
        self._producer.startup()

    def _stop(self) -> None:
        if self._producer is not None:
            self._producer.shutdown()
            self._producer = None

    def _publish(self, messages: Sequence[Message]) -> set[str]:
        queues: dict[tuple[str, str], deque[Message]] = {}
        for message in messages:
            queues.setdefault((message.topic, message.key), deque()).append(message)
        stored: set[str] = set()
        while queues:
            names = list(islice(queues, IN_FLIGHT))
            heads = [queues[name].popleft() for name in names]
            failures = self._wave(heads)
            stored.update(head.id for head, failure in zip(heads, failures, strict=True) if failure is None)
            if reason := next((failure for failure in failures if failure is not None), None):
                if not stored and not is_about_the_message(reason):
                    at = ",".join(self._address.proxies)
                    raise BrokerUnavailable(f"RocketMQ at {at} took nothing: {reason!r}") from reason
                count = len(failures) - failures.count(None)
                log.warning("messages_not_stored", count=count, first=repr(reason))
            for name, failure in zip(names, failures, strict=True):
                if failure is not None or not queues[name]:
                    del queues[name]
        return stored

    def _wave(self, heads: Sequence[Message]) -> list[Exception | None]:
        """Send all, then wait for all: the failure of each, None for those that were stored."""
        sent: list[Future[Any] | Exception] = []
        for head in heads:
            try:
                sent.append(self._producer.send_async(outgoing(self._address, head)))
            except Exception as refused:  # noqa: BLE001 - the client has no common class for what it raises
                sent.append(refused)
        return [_failure(one) for one in sent]


def outgoing(address: RocketMQAddress, message: Message) -> Any:
    """The client's message. Its times are seconds, rounded up so that nothing is delivered too early."""
    out = library().Message()
    out.topic, out.tag, out.body = address.full(message.topic), message.tag, message.body
    out.keys = message.key  # adds it
    if message.deliver_ms:
        out.delivery_timestamp = -(-message.deliver_ms // MS)
    else:
        out.message_group = message.key
    for name, value in message.properties.items():
        out.add_property(name, value)
    return out


def is_about_the_message(failure: Exception) -> bool:
    """Whether sending the same message again can't succeed."""
    library()
    from rocketmq.v5.exception import client_exception as of

    return isinstance(
        failure,
        of.BadRequestException
        | of.IllegalArgumentException
        | of.PayloadEmptyException
        | of.PayloadTooLargeException
        | of.RequestHeaderFieldsTooLargeException,
    )


def _failure(sent: Future[Any] | Exception) -> Exception | None:
    if isinstance(sent, Exception):
        return sent
    try:
        sent.result(SEND_S)
    except Exception as failed:  # noqa: BLE001 - the client has no common class for what it raises
        return failed
    return None
