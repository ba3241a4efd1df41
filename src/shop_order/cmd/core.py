"""Everything below the fronts, wired once: store, gateways, use cases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Self

import grpc
import grpc.aio

from shop_order.cmd.channels import Channels
from shop_order.cmd.observing import seen, tracing
from shop_order.cmd.roots import root_keys, witness
from shop_order.cmd.rules import order_rules, pricing
from shop_order.cmd.shared import Shared
from shop_order.cmd.writes import Writes
from shop_order.configs import Loaded, Settings
from shop_order.domain.errors import DependencyDown, OrderServiceError
from shop_order.gateway.events import PublishedEvents
from shop_order.gateway.goods import GrpcGoods
from shop_order.gateway.inboxes import GrpcInboxes
from shop_order.gateway.inventory import GrpcStock
from shop_order.gateway.users import GrpcAddresses
from shop_order.pkg.grpc.balancer import Balanced
from shop_order.pkg.grpc.client import FileToken, Neighbour, TokenSource, open_channel
from shop_order.pkg.ids import Entropy, OrderNumbers, Snowflakes
from shop_order.pkg.log import get_logger
from shop_order.pkg.message import open_publisher
from shop_order.pkg.metrics import Metrics
from shop_order.pkg.registry import open_registry
from shop_order.repository.dao import open_store
from shop_order.repository.dao.store import StoreOptions
from shop_order.repository.oplog import open_order_log
from shop_order.service.archive import ArchiveService
from shop_order.service.audit import AuditService
from shop_order.service.cart import CartService
from shop_order.service.checkout import Checkout
from shop_order.service.clock import ShopClock
from shop_order.service.daily_root import DailyRoot
from shop_order.service.doctor import Doctor
from shop_order.service.idempotency import Idempotency
from shop_order.service.notice import GatewaySecret
from shop_order.service.order import OrderService
from shop_order.service.orderlog import OrderLogService
from shop_order.service.payment import PaymentService
from shop_order.service.reconciliation import JOB as RECONCILE
from shop_order.service.reconciliation import ReconciliationService
from shop_order.service.relay import Relay
from shop_order.service.reservation import ReservationService
from shop_order.service.return_urls import ReturnUrls
from shop_order.service.root_audit import RootAudit
from shop_order.service.settlement import Settlement
from shop_order.service.statistics import Statistics
from shop_order.service.timeout import TimeoutService
from shop_order.service.unreadable import Unreadables

log = get_logger("core")
MOST_RELEASES = 256  # leases being given back at once; the others end by themselves


def real_ms() -> int:
    """Epoch milliseconds of real time."""
    return time.time_ns() // 1_000_000


class Core:
    """`async with Core(loaded, token=…)`: an open store and use cases that work."""

    def __init__(self, loaded: Loaded, *, token: TokenSource) -> None:
        self.loaded = loaded
        settings = loaded.settings
        self.metrics = Metrics()
        self.tracing = tracing(settings, self.metrics)
        self._exit = AsyncExitStack()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._releases: set[asyncio.Task[None]] = set()
        self._followers: list[asyncio.Task[None]] = []
        self.registry = open_registry(settings.registry.url)
        self._worker = 0
        self._worker_ends_s = float("inf")
        self._snowflakes = Snowflakes(real_ms, self._worker)
        self.store = open_store(
            settings.db.url,
            next_id=self.next_id,
            options=StoreOptions(
                settings.limit.commit_batch,
                settings.limit.commit_queue,
                self._stored,
                self.metrics.batch("commit"),
            ),
        )
        self._writes = Writes(self.store)
        self.log_store = open_order_log(settings.oplog.url)
        self.clock = ShopClock(self.store.time, real_ms, may_move=settings.app.env != "production")
        token_file = settings.neighbours.token_file
        self._neighbour = Neighbour(
            FileToken(token_file) if token_file else token,
            lambda: self.settings.neighbours.timeout_s,
            self.tracing,
        )
        self.shared = Shared(lambda: self.settings, self.metrics, real_ms)
        self._gateways(settings)
        self._use_cases(settings)

    @property
    def settings(self) -> Settings:
        """The settings as they are now: a reload swaps the whole."""
        return self.loaded.settings

    def next_id(self) -> int:
        """A new id. Raises DependencyDown while the worker id in it may be another's."""
        if time.monotonic() > self._worker_ends_s:
            raise DependencyDown("worker_id")
        return self._snowflakes.next_id()

    async def keep_worker(self) -> int:
        """Renew the worker id of our ids, or go on with another if it was lost. Raises DependencyDown.

        Said by a write, so that a database that takes none is noticed without a buyer.
        """
        await self._writes.check()
        if (worker := await self.store.leases.worker()) != self._worker:
            log.warning("worker_changed", before=self._worker, now=worker)
            self.metrics.worker_changed()
            self._worker = worker
            self._snowflakes = Snowflakes(real_ms, worker, after=self._snowflakes.next_id())
        self._worker_ends_s = self.store.leases.worker_ends_s
        return 0

    def _gateways(self, settings: Settings) -> None:
        limit, neighbours = settings.limit, settings.neighbours
        self.goods = GrpcGoods(
            self._channel(neighbours.goods),
            self._neighbour.at(neighbours.goods),
            most=limit.goods_batch,
            queue=limit.goods_queue,
            observe=self.metrics.batch("goods"),
        )
        self.stock = GrpcStock(
            self._channel(neighbours.inventory),
            self._neighbour.at(neighbours.inventory),
            lease_s=settings.order.lease_s,
            most=limit.stock_batch,
            queue=limit.stock_queue,
            observe=self.metrics.batch("reserve"),
        )
        # What an order needs is asked for in this sequence: groups stay together from look-up to commit.
        store, goods, stock = self.store, self.goods.batches, self.stock.reservations
        store.lookups.behind(goods, stock, store.commits)
        goods.behind(stock, store.commits)
        self.addresses = GrpcAddresses(self._channel(neighbours.users), self._neighbour.at(neighbours.users))
        self.stored, self.views = self.shared.orders(seen(self.tracing, "orders", store.orders))
        # With a broker between us the neighbours' inboxes are not ours to call.
        self._own_inboxes = neighbours.inboxes if settings.message.url.startswith("embedded:") else ()
        own = GrpcInboxes([(self._channel(a), self._neighbour.at(a)) for a in self._own_inboxes])
        self.publisher = open_publisher(settings.message.url, hand_over=own.hand_over)
        published = PublishedEvents(
            self.publisher,
            now_ms=real_ms,
            ahead_ms=lambda: self.clock() - real_ms(),
            tracing=self.tracing,
        )
        self.inboxes = self.shared.inboxes(published, self.views)
        providers = Channels(settings, lambda: self.settings.pay.alipay.timeout_s, real_ms, self.tracing)
        self.alipay, self.channels, self.bills = providers.alipay, providers.payments, providers.bills

    def _use_cases(self, settings: Settings) -> None:
        store, clock, orders = self.store, self.clock, self.stored
        carts = seen(self.tracing, "carts", store.carts)
        goods = seen(self.tracing, "goods", self.goods)
        stock = seen(self.tracing, "stock", self.stock)
        numbers = OrderNumbers(clock, Entropy().below)
        secret = settings.pay.gateway_secret
        self.idempotency = Idempotency(orders, real_ms, self.shared.flights, self.shared.tokens)
        self.unreadable = Unreadables(self.alert, real_ms)
        # Our own cashier is always one of them.
        self.return_urls = ReturnUrls(lambda: [*self.settings.pay.return_urls, self.settings.server.base_url])
        self.orders = OrderService(
            orders=orders,
            carts=carts,
            goods=goods,
            stock=stock,
            addresses=self.addresses,
            idempotency=self.idempotency,
            clock=clock,
            next_sn=numbers.order_sn,
            next_id=self.next_id,
            rules=lambda: order_rules(self.settings),
            on_unreadable=self.unreadable.tell,
            on_lost=self._give_back,
            return_urls=self.return_urls,
            real_clock=real_ms,
            shown=self.views,
        )
        self.carts = CartService(
            carts=carts,
            goods=goods,
            stock=stock,
            clock=clock,
            next_id=self.next_id,
            pricing=lambda: pricing(self.settings),
            shown=self.shared.goods(goods),
        )
        self.payments = PaymentService(
            orders=orders,
            payments=store.payments,
            channels=self.channels,
            idempotency=self.idempotency,
            clock=clock,
            next_payment_sn=numbers.payment_sn,
            next_refund_sn=numbers.refund_sn,
            return_urls=self.return_urls,
            gateway_secret=GatewaySecret([secret.get_secret_value().encode()] if secret else []),
            alert=self.alert,
        )
        self.reservations = ReservationService(
            orders=orders,
            on_unreadable=self.unreadable.tell,
            clock=clock,
            real_clock=real_ms,
            owners=settings.auth.lease_owners,
        )
        self._settling()
        self._behind(settings)

    def _settling(self) -> None:
        store, clock, orders = self.store, self.clock, self.stored
        self.settlement = Settlement(
            orders=orders,
            payments=store.payments,
            paying=self.payments,
            on_unreadable=self.unreadable.tell,
            clock=clock,
            alert=self.alert,
        )
        self.checkout = Checkout(
            orders=self.orders,
            payments=self.payments,
            settlement=self.settlement,
            clock=clock,
            monotonic_s=time.monotonic,
            return_urls=self.return_urls,
            turn=self.shared.turns.take,
        )
        self.timeouts = TimeoutService(
            orders=orders,
            service=self.orders,
            settlement=self.settlement,
            on_unreadable=self.unreadable.tell,
            clock=clock,
        )

    def _behind(self, settings: Settings) -> None:
        store, clock = self.store, self.clock
        self.relay = Relay(
            outbox=store.outbox,
            inboxes=self.inboxes,
            real_clock=real_ms,
            batch=settings.limit.relay_batch,
            # Another process's commits give no hint.
            idle_s=1.0 if settings.db.url.startswith("sqlite:") and not self.publisher.brokered else 0.2,
            observe=self.metrics.batch("relay"),
        )
        self.audit = AuditService(store.audit)
        keys = root_keys(settings)
        self.daily_root = DailyRoot(
            roots=store.roots,
            keys=keys,
            real_clock=real_ms,
            database_ms=store.leases.now_ms,
            alert=self.alert,
        )
        beside = witness(settings, self.registry)
        self.root_audit = RootAudit(roots=store.roots, keys=keys, real_clock=real_ms, witness=beside)
        self.archive = ArchiveService(
            archive=store.archive,
            on_unreadable=self.unreadable.tell,
            clock=clock,
            after_days=lambda: self.settings.order.archive_after_days,
        )
        self.reconciliation = ReconciliationService(
            store=store.reconciliations,
            sources=self.bills,
            real_clock=real_ms,
            clock=clock,
            fence=lambda: store.leases.fence(RECONCILE),
            tell=get_logger("reconcile").warning,
        )
        self.order_log = OrderLogService(
            feed=store.feed,
            log=self.log_store,
            history=store.audit,
            alert=self.alert,
            clock=clock,
            keep_days=lambda: self.settings.oplog.keep_days,
        )
        self.statistics = Statistics(log=self.log_store, outbox=store.outbox, feed=store.feed, clock=clock)
        self.doctor = Doctor(audit=store.audit, outbox=store.outbox, leases=self.stock, log=self.log_store)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def open(self, *, serve: bool = True) -> Self:
        """Open the store. Raises StoreTaken, SchemaBehind, DependencyDown."""
        if self.tracing is not None:
            self.tracing.open()
            self._exit.push_async_callback(self.tracing.close)
        self._exit.push_async_callback(self.log_store.close)
        await self.store.open(serve=serve)
        self._exit.push_async_callback(self.store.close)
        if serve:
            self._worker = await self.store.leases.worker()
            self._worker_ends_s = self.store.leases.worker_ends_s
        self._snowflakes = Snowflakes(real_ms, self._worker, after=await self.store.last_id())
        await self.clock.load()
        await self.shared.open()
        self._exit.push_async_callback(self.shared.close)
        self._exit.push_async_callback(self.registry.aclose)
        for name, channel in self._channels.items():
            self._exit.push_async_callback(channel.close)
            if isinstance(channel, Balanced):
                self._followers.append(asyncio.create_task(self._follow(name, channel)))
        self._exit.push_async_callback(self._unfollow)
        if self.alipay is not None:
            self._exit.push_async_callback(self.alipay.aclose)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let commands that run end, then close everything."""
        await self.idempotency.drain()
        await self.checkout.drain()
        if self._releases:
            await asyncio.wait(self._releases, timeout=self.settings.neighbours.timeout_s)
        await self._exit.aclose()

    def neighbours_away(self) -> list[str]:
        """Neighbours that can't be reached; asking begins to connect to those that were never called."""
        neighbours = self.settings.neighbours
        addresses = {
            "goods": (neighbours.goods,),
            "inventory": (neighbours.inventory,),
            "users": (neighbours.users,),
            "inboxes": self._own_inboxes,
        }
        away = {
            address
            for address, channel in self._channels.items()
            if channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        }
        return [name for name, used in addresses.items() if away.intersection(used)]

    def alert(self, name: str, **about: object) -> None:
        """Tell the operator: a log line at level error, and a counter."""
        self.metrics.alert(name)
        log.error(name, alert=True, **about)

    def _stored(self, types: Sequence[str]) -> None:
        self.metrics.events(types)
        self.relay.hint()

    def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            named = ":" not in address
            grace_s = self.settings.neighbours.timeout_s
            self._channels[address] = (
                Balanced(address, open_channel, grace_s=grace_s) if named else open_channel(address)
            )
        return self._channels[address]

    async def _follow(self, name: str, channel: Balanced) -> None:
        async for addresses in self.registry.watch(name):
            log.info("instances", name=name, addresses=addresses)
            channel.use(addresses)

    async def _unfollow(self) -> None:
        for task in self._followers:
            task.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)

    def _give_back(self, order_sn: str) -> None:
        """Release a lease nobody needs, in the background; should it fail, the lease ends by itself."""
        if len(self._releases) >= MOST_RELEASES:
            return
        task = asyncio.create_task(self._release(order_sn))
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)

    async def _release(self, order_sn: str) -> None:
        try:
            await self.stock.release(order_sn)
        except OrderServiceError as failed:
            log.warning("release_failed", order_sn=order_sn, error=failed.code)
