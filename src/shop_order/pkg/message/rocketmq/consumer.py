"""A push consumer that reconnects by itself when the broker was down (decision outbox)."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from shop_order.pkg.log import get_logger
from shop_order.pkg.message import MAX_RETRIES, RETRY_S, BrokerUnavailable, Delivery, Group, Handler
from shop_order.pkg.message.rocketmq import RocketMQAddress, configuration, library
from shop_order.pkg.message.rocketmq.admin import Admin, Refused

log = get_logger("message")
SETTINGS_INTERVAL_S = 3.0  # the client sends them every 300 s, but a restarted proxy has lost them
START_RETRY_S = 2.0
THREADS = 8
STREAM_S = 365 * 86_400
CLOSE_S = 15.0


class Closing(BaseException):
    """Ends a thread of the client without a result, so that another consumer gets the message.

    Not an Exception, which the client would count as a failed attempt.
    """


class RocketConsumer:
    """See `Consumer`."""

    def __init__(
        self, address: RocketMQAddress, handler: Handler, *, group: Group, topic: str, tags: tuple[str, ...]
    ) -> None:
        self._address = address
        self._handler = handler
        self._group = group
        self._topic = topic
        self._expression = "||".join(tags) or "*"
        self._closing = threading.Event()
        self.connected = False  # whether the proxy accepted the last settings
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start in the background. Raises ImportError without the extra `rocketmq`."""
        library()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name=f"consume-{self._group.name}")

    async def close(self) -> None:
        """Stop; a message whose handler still runs after CLOSE_S is redelivered."""
        self._closing.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await _in_daemon_thread(consumer.shutdown)
        self.connected = False

    async def _run(self) -> None:
        while self._consumer is None:
            try:
                await self._start()
            except Exception as error:  # noqa: BLE001 - a background loop: the broker may be down for long
                log.warning("consumer_waits", group=self._group.name, error=repr(error))
                await asyncio.sleep(START_RETRY_S)
        while True:
            await asyncio.sleep(SETTINGS_INTERVAL_S)
            try:
                await self._send_settings()
            except Exception as error:  # noqa: BLE001 - a background loop: it tries again
                self._set_connected(False, repr(error))

    async def _start(self) -> None:
        if self._address.namesrv:
            try:
                await Admin(self._address.namesrv).make(self._address, (), (self._group,))
            except Refused as refused:  # an operator has created it, or must
                log.warning("group_not_created", group=self._group.name, error=str(refused))
        rocketmq = library()
        consumer = _push_consumer()(
            configuration(self._address),
            self._address.full(self._group.name),
            _listener(self._consume),
            {self._address.full(self._topic): rocketmq.FilterExpression(self._expression)},
            consumption_thread_count=THREADS,
        )
        await _in_daemon_thread(lambda: self._startup(consumer))
        self._consumer = consumer
        self._set_connected(True)

    async def _send_settings(self) -> None:
        """Send the settings, without which a restarted proxy delivers nothing."""
        consumer = self._consumer
        endpoints = consumer.route_manager.get_all_endpoints().values()
        if not endpoints:
            raise BrokerUnavailable("no route")
        for endpoint in endpoints:
            settings = consumer.sync_setting_req(endpoint)
            try:
                await asyncio.wrap_future(consumer.rpc_client.telemetry_write_async(endpoint, settings))
            except Exception as error:  # noqa: BLE001 - after any error, the stream is opened again
                self._set_connected(False, repr(error))
                consumer.rpc_client.telemetry_stream(
                    endpoint, consumer, consumer.sign(), True, timeout=STREAM_S
                )
            else:
                self._set_connected(True)

    def _startup(self, consumer: Any) -> None:
        try:
            consumer.startup()
        except Exception:
            consumer.rpc_client.stop()
            raise
        if self._closing.is_set():  # `close` no longer waits for it
            consumer.shutdown()

    def _set_connected(self, connected: bool, error: str = "") -> None:
        if connected and not self.connected:
            log.info("consumer_connected", group=self._group.name)
        elif self.connected and not connected:
            log.warning("consumer_lost", group=self._group.name, error=error)
        self.connected = connected

    def _consume(self, message: Any) -> bool:
        """Call the handler from a thread of the client, again after each failure; return its result."""
        delivery = Delivery(
            next(iter(message.keys), ""),
            message.tag or "",
            message.body,
            dict(message.properties),
            message.delivery_attempt or 1,
        )
        failures = 0
        while not self._closing.is_set():
            try:
                return asyncio.run_coroutine_threadsafe(self._handle(delivery), self._loop).result()
            except Exception as error:  # noqa: BLE001 - the edge: our failure must not lose a message
                log.error(
                    "message_handler_failed", group=self._group.name, key=delivery.key, error=repr(error)
                )
            self._closing.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
            failures += 1
        raise Closing

    async def _handle(self, delivery: Delivery) -> bool:
        return await self._handler(delivery)


async def _in_daemon_thread(work: Callable[[], None]) -> None:
    """Run in a thread that does not delay the end of the process: the client waits ten seconds for an
    unreachable broker."""
    result: Future[None] = Future()
    result.set_running_or_notify_cancel()  # from here on, it can't be cancelled

    def run() -> None:
        try:
            work()
            result.set_result(None)
        except Exception as error:  # noqa: BLE001 - raised again in the loop
            result.set_exception(error)

    threading.Thread(target=run, daemon=True, name="rocketmq-start-stop").start()
    await asyncio.wrap_future(result)


def _push_consumer() -> Any:
    rocketmq = library()

    class PushConsumer(rocketmq.PushConsumer):  # type: ignore[misc, name-defined]
        def reset_setting(self, settings: Any) -> None:
            """In order, the client alone counts refusals (`admin.ORDERLY_ATTEMPTS` is the broker's bound)."""
            if settings.subscription.fifo:
                settings.backoff_policy.max_attempts = 1 + MAX_RETRIES
            super().reset_setting(settings)

    return PushConsumer


def _listener(consume: Callable[[Any], bool]) -> Any:
    rocketmq = library()

    class Listener(rocketmq.MessageListener):  # type: ignore[misc, name-defined]
        def consume(self, message: Any) -> Any:
            return rocketmq.ConsumeResult.SUCCESS if consume(message) else rocketmq.ConsumeResult.FAILURE

    return Listener()
