"""Everything below the servers: store, neighbours, channels, use cases."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from shop_order.cmd.wiring.cache import SharedCache
from shop_order.cmd.wiring.from_settings import order_rules, pricing, refund_rules
from shop_order.cmd.wiring.gateways import Neighbours, connect_channels
from shop_order.cmd.wiring.ids import IdAllocator
from shop_order.cmd.wiring.roots import daily_roots
from shop_order.cmd.wiring.tracing import trace_port, tracing
from shop_order.configs import Loaded, Settings, key_bytes
from shop_order.gateway.events import MessageEventPublisher
from shop_order.pkg.clock import ShopClock
from shop_order.pkg.grpc.client import FileToken, Neighbour, TokenSource
from shop_order.pkg.ids import Entropy, OrderNumbers
from shop_order.pkg.log import get_logger
from shop_order.pkg.message import ORDER_EVENTS, WALLET_COMMANDS, open_publisher
from shop_order.pkg.metrics import Metrics
from shop_order.pkg.registry import open_registry
from shop_order.repository.dao.store import StoreOptions, open_store
from shop_order.repository.oplog import open_order_log
from shop_order.service.alerts import ForgedNoticeAlerts, UnreadableRowAlerts
from shop_order.service.attempts import Attempts
from shop_order.service.cart import CartService
from shop_order.service.channels import Channels
from shop_order.service.checkout import Checkout
from shop_order.service.idempotency import Idempotency
from shop_order.service.notice import GatewaySecret
from shop_order.service.order import OrderService
from shop_order.service.pay import PaymentService
from shop_order.service.place import PlacingService, ReturnUrls
from shop_order.service.refund import RefundService
from shop_order.service.reservation import ReservationService
from shop_order.service.settle import Settlement
from shop_order.service.shipping import Shipping
from shop_order.service.upkeep.archive import ArchiveService
from shop_order.service.upkeep.audit import AuditService
from shop_order.service.upkeep.auto_approve import AutoApproval
from shop_order.service.upkeep.doctor import Doctor
from shop_order.service.upkeep.orderlog import OrderLogService
from shop_order.service.upkeep.reconcile import JOB as RECONCILE
from shop_order.service.upkeep.reconcile import ReconciliationService
from shop_order.service.upkeep.relay import Relay
from shop_order.service.upkeep.settled_days import SettledDays
from shop_order.service.upkeep.statistics import Statistics
from shop_order.service.upkeep.timeout import TimeoutService
from shop_order.service.use_cases import UseCases
from shop_order.service.wallet import WalletAnswers

log = get_logger("core")


def real_ms() -> int:
    """Return the real time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Core:
    """The use cases, their store and what they call, between `open` and `close`."""

    def __init__(self, loaded: Loaded, *, token: TokenSource) -> None:
        self.loaded = loaded
        settings = loaded.settings
        self.metrics = Metrics()
        self.tracing = tracing(settings, self.metrics)
        self._exit = AsyncExitStack()
        self.registry = open_registry(settings.registry.url)
        self.ids = IdAllocator(self.metrics, real_ms)
        self.store = open_store(
            settings.db.url,
            next_id=self.ids.next,
            options=StoreOptions(
                settings.limit.commit_batch,
                settings.limit.commit_queue,
                self._on_stored,
                self.metrics.batch("commit"),
            ),
        )
        self.log_store = open_order_log(settings.oplog.url)
        self.clock = ShopClock(self.store.time, real_ms, can_advance=settings.app.env != "production")
        self.shared = SharedCache(lambda: self.settings, self.metrics, real_ms)
        self._gateways(settings, token)
        self._use_cases(settings)

    @property
    def settings(self) -> Settings:
        """The current settings: a reload replaces the whole object."""
        return self.loaded.settings

    def _gateways(self, settings: Settings, token: TokenSource) -> None:
        token_file = settings.neighbours.token_file
        caller = Neighbour(
            FileToken(token_file) if token_file else token,
            lambda: self.settings.neighbours.timeout_s,
            self.tracing,
        )
        self.neighbours = Neighbours(lambda: self.settings, self.registry, caller, self.metrics)
        self.goods, self.stock = self.neighbours.goods, self.neighbours.stock
        # In the sequence of an order's steps, so that batches stay together from look-up to commit.
        store, goods, stock = self.store, self.goods.batches, self.stock.reservations
        store.lookups.yield_to(goods, stock, store.commits)
        goods.yield_to(stock, store.commits)
        self.stored, self.views = self.shared.orders(trace_port(self.tracing, "orders", store.orders))
        inboxes, wallet = self.neighbours.inboxes, self.neighbours.wallet
        self.publisher = open_publisher(
            settings.message.url,
            inboxes={ORDER_EVENTS: inboxes.hand_over, WALLET_COMMANDS: wallet.hand_over},
        )
        published = MessageEventPublisher(
            self.publisher,
            now_ms=real_ms,
            ahead_ms=lambda: self.clock() - real_ms(),
            tracing=self.tracing,
        )
        self.inboxes = self.shared.inboxes(published, self.views)
        self.channels = connect_channels(lambda: self.settings, real_ms, self.tracing)
        self.offered = Channels(self.channels)

    def _use_cases(self, settings: Settings) -> None:
        clock, orders = self.clock, self.stored
        self.entropy = Entropy()
        numbers = OrderNumbers(clock, self.entropy.below)
        self.idempotency = Idempotency(orders, real_ms, self.shared.flights, self.shared.tokens)
        self.unreadable = UnreadableRowAlerts(self.alert, real_ms)
        # Our cashier is always allowed.
        self.return_urls = ReturnUrls(lambda: [*self.settings.pay.return_urls, self.settings.server.base_url])
        self.orders = OrderService(
            orders=orders,
            clock=clock,
            rules=lambda: order_rules(self.settings),
            refund_rules=lambda: refund_rules(self.settings),
            next_refund_sn=numbers.refund_sn,
            on_unreadable=self.unreadable.report,
            shown=self.views or orders,
        )
        self._payments(numbers)
        self.timeouts = TimeoutService(
            orders=orders,
            service=self.orders,
            settlement=self.settlement,
            on_unreadable=self.unreadable.report,
            clock=clock,
        )
        self.auto_approval = AutoApproval(
            orders=orders,
            refunds=self.store.refunds,
            rules=lambda: refund_rules(self.settings),
            on_unreadable=self.unreadable.report,
            clock=clock,
        )
        self._background(settings)
        self.use_cases = self._for_callers(settings, numbers)

    def _for_callers(self, settings: Settings, numbers: OrderNumbers) -> UseCases:
        clock, orders = self.clock, self.stored
        carts = trace_port(self.tracing, "carts", self.store.carts)
        goods = trace_port(self.tracing, "goods", self.goods)
        stock = trace_port(self.tracing, "stock", self.stock)
        return UseCases(
            carts=CartService(
                carts=carts,
                goods=goods,
                stock=stock,
                clock=clock,
                next_id=self.ids.next,
                pricing=lambda: pricing(self.settings),
                shown=self.shared.goods(goods) or goods,
            ),
            placing=PlacingService(
                orders=orders,
                carts=carts,
                goods=goods,
                stock=stock,
                addresses=self.neighbours.addresses,
                idempotency=self.idempotency,
                clock=clock,
                next_sn=numbers.order_sn,
                next_id=self.ids.next,
                new_salt=self.entropy.salt,
                rules=lambda: order_rules(self.settings),
                release_soon=self.neighbours.release_soon,
                return_urls=self.return_urls,
                channels=self.offered,
                real_clock=real_ms,
            ),
            orders=self.orders,
            payments=self.payments,
            refunds=RefundService(
                orders=orders,
                refunds=self.store.refunds,
                channels=self.offered,
                idempotency=self.idempotency,
                clock=clock,
                next_refund_sn=numbers.refund_sn,
                rules=lambda: refund_rules(self.settings),
                on_unreadable=self.unreadable.report,
            ),
            channels=self.offered,
            checkout=self.checkout,
            reservations=ReservationService(
                orders=orders,
                on_unreadable=self.unreadable.report,
                clock=clock,
                real_clock=real_ms,
                owners=settings.auth.lease_owners,
            ),
            order_log=self.order_log,
            statistics=self.statistics,
            wallet_answers=self.wallet_answers,
            settled_days=self.settled_days,
        )

    def _payments(self, numbers: OrderNumbers) -> None:
        store, orders, clock, channels = self.store, self.stored, self.clock, self.offered
        secret, alert = self.settings.pay.gateway_secret, self.alert
        attempts = Attempts(
            orders=orders,
            payments=store.payments,
            channels=channels,
            clock=clock,
            next_refund_sn=numbers.refund_sn,
            alert=alert,
        )
        self.payments = PaymentService(
            orders=orders,
            payments=store.payments,
            channels=channels,
            attempts=attempts,
            idempotency=self.idempotency,
            clock=clock,
            next_payment_sn=numbers.payment_sn,
            return_urls=self.return_urls,
            gateway_secret=GatewaySecret(key_bytes([secret] if secret else [])),
            alert=alert,
            payer_mark=lambda openid: self.shared.signer.sign("payer", openid.encode()),
            on_forged=ForgedNoticeAlerts(alert, real_ms).report,
        )
        self.settlement = Settlement(
            orders=orders,
            payments=store.payments,
            outbox=store.outbox,
            channels=channels,
            attempts=attempts,
            shipping=Shipping(orders=orders, channels=channels, clock=clock, alert=alert),
            on_unreadable=self.unreadable.report,
            clock=clock,
            alert=alert,
        )
        self.wallet_answers = WalletAnswers(
            orders=orders,
            attempts=attempts,
            clock=clock,
            alert=alert,
            wallets=self.settings.auth.wallet_services,
        )
        self.checkout = Checkout(
            orders=self.orders,
            payments=self.payments,
            settlement=self.settlement,
            clock=clock,
            monotonic_s=time.monotonic,
            return_urls=self.return_urls,
            turn=self.shared.turns.take,
            balance=self.neighbours.wallet.balance,
        )

    def _background(self, settings: Settings) -> None:
        store, clock = self.store, self.clock
        self.relay = Relay(
            outbox=store.outbox,
            publisher=self.inboxes,
            real_clock=real_ms,
            batch=settings.limit.relay_batch,
            # Commits of another process send no hint.
            idle_s=1.0 if settings.db.url.startswith("sqlite:") and not self.publisher.brokered else 0.2,
            observe=self.metrics.batch("relay"),
        )
        self.audit = AuditService(store.audit, clock)
        self.daily_root, self.root_audit = daily_roots(settings, store, self.registry, real_ms, self.alert)
        self.archive = ArchiveService(
            archive=store.archive,
            on_unreadable=self.unreadable.report,
            clock=clock,
            after_days=lambda: self.settings.order.archive_after_days,
        )
        sources = {kind: channel.bills for kind, channel in self.channels.items() if channel.bills}
        self.settled_days = SettledDays(store=store.reconciliations, sources=sources, real_clock=real_ms)
        self.reconciliation = ReconciliationService(
            store=store.reconciliations,
            sources=sources,
            real_clock=real_ms,
            clock=clock,
            fence=lambda: store.leases.fence(RECONCILE),
            warn=get_logger("reconcile").warning,
            log=get_logger("reconcile").info,
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
        self.doctor = Doctor(
            audit=store.audit, clock=clock, outbox=store.outbox, leases=self.stock, log=self.log_store,
            feed=store.feed, ledger=self.neighbours.wallet,
        )  # fmt: skip

    async def open(self, *, serve: bool = True) -> None:
        """Open the store. Raises StoreInUse, SchemaMismatch, DependencyDown."""
        if self.tracing is not None:
            self.tracing.open()
            self._exit.push_async_callback(self.tracing.close)
        self._exit.push_async_callback(self.log_store.close)
        await self.store.open(serve=serve)
        self._exit.push_async_callback(self.store.close)
        await self.ids.start(self.store, lease=serve)
        await self.clock.load()
        await self.shared.open()
        self._exit.push_async_callback(self.shared.close)
        self._exit.push_async_callback(self.registry.aclose)
        self.neighbours.open()
        self._exit.push_async_callback(self.neighbours.close)
        for provider in self.channels.values():
            self._exit.push_async_callback(provider.aclose)

    async def close(self) -> None:
        """Wait for running commands, then close everything."""
        await self.idempotency.drain()
        await self.checkout.drain()
        await self._exit.aclose()

    def alert(self, name: str, **about: object) -> None:
        """Alert the operator with a log line at level error and a counter."""
        self.metrics.alerts.labels(name).inc()
        log.error(name, alert=True, **about)

    def _on_stored(self, types: Sequence[str]) -> None:
        self.metrics.events(types)
        self.relay.hint()
