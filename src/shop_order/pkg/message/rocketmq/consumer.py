"""A push consumer that reconnects by itself after the broker died (decision outbox)."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from shop_order.pkg.log import get_logger
from shop_order.pkg.message.base import RETRY_S, BrokerUnavailable, Delivery, Group, Handler
from shop_order.pkg.message.rocketmq import RocketMQAddress, configuration, library
from shop_order.pkg.message.rocketmq.admin import Admin, Refused

log = get_logger("message")
SETTINGS_EVERY_S = 3.0  # the client itself sends them every 300 s only, and the proxy forgets them
BEGIN_AGAIN_S = 2.0
THREADS = 8
STREAM_S = 365 * 86_400
CLOSE_S = 15.0


class Closing(BaseException):
    """Ends a thread of the client without an answer: the message is redelivered to another consumer.

    Not an Exception: those the client takes for a failed attempt, and sleeps.
    """


class RocketConsumer:
    """See `base.Consumer`."""

    def __init__(
        self, address: RocketMQAddress, handler: Handler, *, group: Group, topic: str, tags: tuple[str, ...]
    ) -> None:
        self._address = address
        self._handler = handler
        self._group = group
        self._topic = topic
        self._expression = "||".join(tags) or "*"
        self._closing = threading.Event()
        self._connected = False
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the proxy accepted our settings a moment ago."""
        return self._connected

    async def open(self) -> None:
        """Begin in the background. Raises ImportError without the extra `rocketmq`."""
        library()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._keep(), name=f"consume-{self._group.name}")

    async def close(self) -> None:
        """Stop; a message whose handler still runs after CLOSE_S is redelivered."""
        self._closing.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await _in_thread(consumer.shutdown)
        self._connected = False

    async def _keep(self) -> None:
        while True:
            try:
                await self._begin()
                break
            except Exception as failed:  # noqa: BLE001 - a background loop: the broker may be away for long
                log.warning("consumer_waits", group=self._group.name, error=repr(failed))
                await asyncio.sleep(BEGIN_AGAIN_S)
        while True:
            await asyncio.sleep(SETTINGS_EVERY_S)
            try:
                await self._send_settings()
            except Exception as failed:  # noqa: BLE001 - a background loop: it tries again
                self._seen(False, repr(failed))

    async def _begin(self) -> None:
        if self._address.namesrv:
            try:
                await Admin(self._address.namesrv).make(self._address, (), (self._group,))
            except Refused as refused:  # operators have created it, or will
                log.warning("group_not_made", group=self._group.name, error=str(refused))
        rocketmq = library()
        consumer = rocketmq.PushConsumer(
            configuration(self._address),
            self._address.full(self._group.name),
            _listener(self._take),
            {self._address.full(self._topic): rocketmq.FilterExpression(self._expression)},
            consumption_thread_count=THREADS,
        )
        await _in_thread(lambda: self._startup(consumer))
        self._consumer = consumer
        self._seen(True)

    async def _send_settings(self) -> None:
        """A restarted proxy knows no consumer, and delivers nothing until it gets the settings."""
        consumer = self._consumer
        ends = consumer.route_manager.get_all_endpoints().values()
        if not ends:
            raise BrokerUnavailable("no route")
        for end in ends:
            settings = consumer.sync_setting_req(end)
            try:
                await asyncio.wrap_future(consumer.rpc_client.telemetry_write_async(end, settings))
            except Exception as broken:  # noqa: BLE001 - whatever it was, the stream is made again
                self._seen(False, repr(broken))
                consumer.rpc_client.telemetry_stream(end, consumer, consumer.sign(), True, timeout=STREAM_S)
            else:
                self._seen(True)

    def _startup(self, consumer: Any) -> None:
        try:
            consumer.startup()
        except Exception:
            consumer.rpc_client.stop()
            raise
        if self._closing.is_set():  # nothing waits for it any more
            consumer.shutdown()

    def _seen(self, connected: bool, error: str = "") -> None:
        if connected != self._connected:
            if connected:
                log.info("consumer_connected", group=self._group.name)
            else:
                log.warning("consumer_lost", group=self._group.name, error=error)
        self._connected = connected

    def _take(self, message: Any) -> bool:
        """In a thread of the client: the handler's answer, repeated until the handler does not fail."""
        delivery = Delivery(
            next(iter(message.keys), ""),
            message.tag or "",
            message.body,
            dict(message.properties),
            message.delivery_attempt or 1,
        )
        for tried in range(1 << 62):
            if self._closing.is_set():
                raise Closing
            try:
                return asyncio.run_coroutine_threadsafe(self._handle(delivery), self._loop).result()
            except Exception as failed:  # noqa: BLE001 - the edge: our failure must not drop a message
                log.error("message_not_handled", group=self._group.name, key=delivery.key, error=repr(failed))
            self._closing.wait(RETRY_S[min(tried, len(RETRY_S) - 1)])
        raise Closing

    async def _handle(self, delivery: Delivery) -> bool:
        return await self._handler(delivery)


async def _in_thread(work: Callable[[], None]) -> None:
    """In a thread that may be abandoned: the client waits ten seconds for an unreachable broker, and
    the end of the process must not."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    failure: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as failed:  # noqa: BLE001 - raised again in the loop
            failure.append(failed)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, daemon=True, name="rocketmq-life").start()
    await done.wait()
    if failure:
        raise failure[0]


def _listener(take: Any) -> Any:
    rocketmq = library()

    class Listener(rocketmq.MessageListener):  # type: ignore[misc, name-defined]
        """Calls the handler for the client."""

        def consume(self, message: Any) -> Any:
            return rocketmq.ConsumeResult.SUCCESS if take(message) else rocketmq.ConsumeResult.FAILURE

    return Listener()
