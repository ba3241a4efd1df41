"""What we call: the neighbours, with one gRPC channel to each address, and the payment channels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from shop_order.cmd.wiring.tracing import trace_port
from shop_order.configs import Settings
from shop_order.domain.errors import OrderServiceError
from shop_order.domain.ports import Clock, PaymentChannel
from shop_order.domain.status import PaymentType
from shop_order.gateway.neighbours import GrpcAddresses, GrpcGoods, GrpcInboxes, GrpcStock, GrpcWallet
from shop_order.gateway.payment import CHANNELS
from shop_order.gateway.payment.base import ChannelContext
from shop_order.pkg.grpc.balancer import BalancedChannel
from shop_order.pkg.grpc.client import Neighbour, open_channel
from shop_order.pkg.log import get_logger
from shop_order.pkg.metrics import Metrics
from shop_order.pkg.registry import Registry
from shop_order.web.handler.notice import NOTICE_PATH

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

log = get_logger("core")
MAX_RELEASES = 256  # concurrent; other leases expire


class Neighbours:
    """`goods`, `stock`, `addresses`, `wallet` and, with embedded delivery, `inboxes`."""

    def __init__(
        self, settings: Callable[[], Settings], registry: Registry, neighbour: Neighbour, metrics: Metrics
    ) -> None:
        current = settings()
        limit, named = current.limit, current.neighbours
        self._settings = settings
        self._registry = registry
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._releases: set[asyncio.Task[None]] = set()
        self.goods = GrpcGoods(
            self._channel(named.goods),
            neighbour.at(named.goods),
            max_batch=limit.goods_batch,
            queue=limit.goods_queue,
            observe=metrics.batch("goods"),
        )
        self.stock = GrpcStock(
            self._channel(named.inventory),
            neighbour.at(named.inventory),
            lease_s=current.order.lease_s,
            max_batch=limit.stock_batch,
            queue=limit.stock_queue,
            observe=metrics.batch("reserve"),
        )
        self.addresses = GrpcAddresses(self._channel(named.users), neighbour.at(named.users))
        self.wallet = GrpcWallet(self._channel(named.users), neighbour.at(named.users), log.warning)
        # A broker delivers events by itself.
        inboxes = named.inboxes if current.message.url.startswith("embedded:") else ()
        self.inboxes = GrpcInboxes([(self._channel(address), neighbour.at(address)) for address in inboxes])
        self._addresses = named.addresses | {"inboxes": inboxes}

    def open(self) -> None:
        """Watch the registry for neighbours that are called by name."""
        for name, channel in self._channels.items():
            if isinstance(channel, BalancedChannel):
                self._watchers.append(asyncio.create_task(self._watch(name, channel)))

    async def close(self) -> None:
        """Wait for running releases, then close every channel."""
        if self._releases:
            await asyncio.wait(self._releases, timeout=self._settings().neighbours.timeout_s)
        for task in self._watchers:
            task.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for channel in self._channels.values():
            await channel.close()

    def unreachable(self) -> list[str]:
        """Return the names of unreachable neighbours; also connects to those that were never called."""
        failing = {
            address
            for address, channel in self._channels.items()
            if channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        }
        return [name for name, addresses in self._addresses.items() if failing.intersection(addresses)]

    def release_soon(self, order_sn: str) -> None:
        """Release an unneeded lease in the background; if that fails, it expires."""
        if len(self._releases) < MAX_RELEASES:
            task = asyncio.create_task(self._release(order_sn))
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)

    async def _release(self, order_sn: str) -> None:
        try:
            await self.stock.release(order_sn)
        except OrderServiceError as failed:
            log.warning("release_failed", order_sn=order_sn, error=failed.code)

    def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            named = ":" not in address
            grace_s = self._settings().neighbours.timeout_s
            self._channels[address] = (
                BalancedChannel(address, open_channel, grace_s=grace_s) if named else open_channel(address)
            )
        return self._channels[address]

    async def _watch(self, name: str, channel: BalancedChannel) -> None:
        async for addresses in self._registry.watch(name):
            log.info("instances", name=name, addresses=addresses)
            channel.use(addresses)


def connect_channels(
    settings: Callable[[], Settings], real_clock: Clock, tracing: Tracing | None
) -> dict[PaymentType, PaymentChannel]:
    """Connect the configured channels; return them in the table's order."""
    current, connected = settings(), {}
    for payment_type, entry in CHANNELS.items():
        code = payment_type.code
        context = ChannelContext(
            notify_url=f"{current.server.base_url}{NOTICE_PATH}{code}",
            timeout_s=partial(_timeout_s, settings, code),
            real_clock=real_clock,
            log=get_logger(code).warning,
            wallet_services=current.auth.wallet_services,
        )
        if channel := entry.connect(current.pay.channels.get(code), context):
            connected[payment_type] = trace_port(tracing, code, channel)
    return connected


def _timeout_s(settings: Callable[[], Settings], code: str) -> float:
    return settings().pay.http_channels[code].timeout_s


def channels_missing(configured: dict[PaymentType, PaymentChannel]) -> list[str]:
    """Return the configured channels that are unavailable; all of the table if none is available."""
    usable = {kind for kind, channel in configured.items() if channel.available()}
    return [kind.code for kind in CHANNELS if kind not in usable and (kind in configured or not usable)]
