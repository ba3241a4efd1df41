"""Sends through the proxy, in a thread: the client blocks while it looks up routes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from shop_order.pkg.log import get_logger
from shop_order.pkg.message import BrokerUnavailable, Message
from shop_order.pkg.message.rocketmq import RocketMQAddress, configuration, library

log = get_logger("message")
MAX_CONCURRENT = 128  # messages
SEND_S = 12.0  # the client makes three attempts of three seconds
T = TypeVar("T")


class RocketPublisher:
    """See `Publisher`. Messages of one topic and key are sent one after the other."""

    brokered = True

    def __init__(self, address: RocketMQAddress) -> None:
        self._address = address
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rocketmq-send")
        self._producer: Any = None

    async def open(self) -> None:
        """Start; the broker may be unreachable. Raises ImportError without the extra `rocketmq`."""
        await self._in_thread(self._start)

    async def close(self) -> None:
        await self._in_thread(self._stop)  # after a start that still runs
        self._thread.shutdown()

    async def publish(self, messages: Sequence[Message]) -> set[str]:
        """See `Publisher`; messages of different keys are sent concurrently."""
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
            names = list(islice(queues, MAX_CONCURRENT))
            batch = [queues[name].popleft() for name in names]
            errors = self._send(batch)
            stored.update(message.id for message, error in zip(batch, errors, strict=True) if error is None)
            if first := next((error for error in errors if error is not None), None):
                if not stored and not is_permanent(first):
                    proxies = ",".join(self._address.proxies)
                    raise BrokerUnavailable(f"RocketMQ at {proxies} stored nothing: {first!r}") from first
                failed = len(errors) - errors.count(None)
                log.warning("messages_not_stored", count=failed, first=repr(first))
            for name, error in zip(names, errors, strict=True):
                if error is not None or not queues[name]:
                    del queues[name]
        return stored

    def _send(self, batch: Sequence[Message]) -> list[Exception | None]:
        """Send concurrently; return the error of each message, None if it was stored."""
        sent: list[Future[Any]] = []
        for message in batch:
            try:
                sent.append(self._producer.send_async(client_message(self._address, message)))
            except Exception as error:  # noqa: BLE001 - the client's errors have no common class
                sent.append(Future())
                sent[-1].set_exception(error)
        return [_error_of(future) for future in sent]


def client_message(address: RocketMQAddress, message: Message) -> Any:
    """Return the client's message. Its times are seconds, rounded up: nothing is delivered too early."""
    out = library().Message()
    out.topic, out.tag, out.body = address.full(message.topic), message.tag, message.body
    out.keys = message.key  # the setter appends
    if message.deliver_ms:
        out.delivery_timestamp = -(-message.deliver_ms // 1000)
    else:
        out.message_group = message.key
    for name, value in message.properties.items():
        out.add_property(name, value)
    return out


def is_permanent(error: Exception) -> bool:
    """Whether sending the same message again can't succeed."""
    library()
    from rocketmq.v5.exception import client_exception as client

    return isinstance(
        error,
        client.BadRequestException
        | client.IllegalArgumentException
        | client.PayloadEmptyException
        | client.PayloadTooLargeException
        | client.RequestHeaderFieldsTooLargeException,
    )


def _error_of(sent: Future[Any]) -> Exception | None:
    try:
        sent.result(SEND_S)
    except Exception as error:  # noqa: BLE001 - the client's errors have no common class
        return error
    return None
