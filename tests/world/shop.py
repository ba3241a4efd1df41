"""The assembly: what `cmd` wires for a server, here without web and gateways."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shop_order.domain.entity.after_sales import RefundRules
from shop_order.domain.ports import EventPublisher, PaymentChannel
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import Goods
from shop_order.domain.valueobject.parties import PostalAddress
from shop_order.pkg.clock import ShopClock
from shop_order.pkg.ids import OrderNumbers
from shop_order.pkg.signing import Signer, SubmitTokens
from shop_order.repository.dao.store import open_store
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
from shop_order.service.place import OrderRules, PlacingService, ReturnUrls
from shop_order.service.refund import RefundService
from shop_order.service.reservation import ReservationService
from shop_order.service.settle import Settlement
from shop_order.service.shipping import Shipping
from shop_order.service.upkeep.audit import AuditService
from shop_order.service.upkeep.auto_approve import AutoApproval
from shop_order.service.upkeep.orderlog import OrderLogService
from shop_order.service.upkeep.relay import Relay
from shop_order.service.upkeep.settled_days import SettledDays
from shop_order.service.upkeep.statistics import Statistics
from shop_order.service.upkeep.timeout import TimeoutService
from shop_order.service.use_cases import UseCases
from shop_order.service.wallet import WalletAnswers
from tests.world.files import fresh_folder, migrated_copy
from tests.world.neighbours import AddressBook, InProcessInboxes, InProcessStock, Neighbours, Shelf
from tests.world.provider import ModelProvider

START_MS = 1_795_000_000_000  # 2026-11-18: long before the numbers' century is over
ADDRESS = PostalAddress("王小明", "13800138000", "人民路 1 号")
SECRET = b"gateway-secret-of-the-tests"
GOODS = {
    1: Goods(1, "苹果", "a.png", 1999, True),
    2: Goods(2, "梨", "b.png", 5, True),
    3: Goods(3, "桃", "c.png", 123_456_76, True),
}
STOCKS = {1: 30, 2: 7, 3: 60}


@dataclass
class World:
    """One process of the order service and its neighbours; `restart()` is a crash and a new process."""

    rules: OrderRules = field(default_factory=OrderRules)
    refund_rules: RefundRules = field(default_factory=lambda: RefundRules(604_800_000))
    goods: Mapping[int, Goods] = field(default_factory=lambda: GOODS)
    stocks: Mapping[int, int] = field(default_factory=lambda: STOCKS)
    other_channels: Mapping[PaymentType, PaymentChannel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = fresh_folder()
        self.real_ms = START_MS
        self.random: Iterator[int] = itertools.count(1)
        self.ids = itertools.count(1)
        self.numbers = OrderNumbers(self.real_now, lambda most: next(self.random) % most)
        self.next_numbers: list[str] = []
        self.alerts: list[tuple[str, dict[str, object]]] = []
        self.logged: list[tuple[str, dict[str, object]]] = []
        self.lost: list[str] = []
        self.allowed = ["https://shop.example/done"]
        self.return_urls = ReturnUrls(lambda: self.allowed)
        self.neighbours = Neighbours(self.folder, self.real_now)
        self.stock = InProcessStock(self.neighbours.inventory)
        self.inboxes = InProcessInboxes(self.neighbours.inbox)
        self.publisher: EventPublisher = self.inboxes
        self.shelf = Shelf(self.goods)
        self.addresses = AddressBook({(7, 71): ADDRESS})
        self.provider = ModelProvider()
        self.tokens = SubmitTokens(Signer([b"k" * 32]), lambda n: next(self.random).to_bytes(n, "big"))
        self.path: Path = migrated_copy(self.folder / "order.db")

    def real_now(self) -> int:
        """Epoch ms as the machine's clock would show them; every look costs nothing."""
        return self.real_ms

    def next_sn(self) -> str:
        """A fresh number, or the one the test put in line."""
        return self.next_numbers.pop() if self.next_numbers else self.numbers.order_sn()

    def log(self, name: str, **about: object) -> None:
        """Remember what the log would say."""
        self.logged.append((name, about))

    def alert(self, name: str, **about: object) -> None:
        """Remember what the operator would see."""
        self.alerts.append((name, about))

    async def open(self) -> World:
        """Start the neighbours and the service."""
        await self.neighbours.open(self.stocks)
        await self._start()
        return self

    async def restart(self) -> None:
        """The process ends and another one takes the files over."""
        await self._stop()
        await self._start()

    async def close(self) -> None:
        """Stop everything and leave no file behind."""
        await self._stop()
        await self.neighbours.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def use_cases(self) -> UseCases:
        """What the handlers get."""
        return UseCases(
            carts=self.carts,
            placing=self.placing,
            orders=self.orders,
            payments=self.payments,
            refunds=self.refunds,
            channels=self.channels,
            checkout=self.checkout,
            reservations=self.reservation,
            order_log=self.order_log,
            statistics=self.statistics,
            wallet_answers=self.wallet_answers,
            settled_days=self.settled_days,
        )

    async def _stop(self) -> None:
        await self.store.close()
        await self.log_store.close()

    async def _start(self) -> None:
        self.store = open_store(f"sqlite:///{self.path}", next_id=self.ids.__next__)
        await self.store.open()
        self.clock = ShopClock(self.store.time, self.real_now, can_advance=True)
        await self.clock.load()
        self.unreadable = UnreadableRowAlerts(self.alert, self.real_now)
        self.channels = Channels({PaymentType.ALIPAY: self.provider, **self.other_channels})
        self.attempts = Attempts(
            orders=self.store.orders,
            payments=self.store.payments,
            channels=self.channels,
            clock=self.clock,
            next_refund_sn=self.numbers.refund_sn,
            alert=self.alert,
        )
        self.placing = self.placing_service()
        self.orders = OrderService(
            orders=self.store.orders,
            clock=self.clock,
            rules=lambda: self.rules,
            refund_rules=lambda: self.refund_rules,
            next_refund_sn=self.numbers.refund_sn,
            on_unreadable=self.unreadable.report,
            shown=self.store.orders,
        )
        self.carts = CartService(
            carts=self.store.carts,
            goods=self.shelf,
            stock=self.stock,
            clock=self.clock,
            next_id=self.ids.__next__,
            pricing=lambda: self.rules.pricing,
            shown=self.shelf,
        )
        self.payments = self.payment_service()
        self.refunds = self.refund_service()
        self._settle()
        self._read_the_history()

    def _settle(self) -> None:
        self.settlement = Settlement(
            orders=self.store.orders,
            payments=self.store.payments,
            outbox=self.store.outbox,
            channels=self.channels,
            attempts=self.attempts,
            shipping=Shipping(
                orders=self.store.orders, channels=self.channels, clock=self.clock, alert=self.alert
            ),
            clock=self.clock,
            on_unreadable=self.unreadable.report,
            alert=self.alert,
        )
        self.wallet_answers = WalletAnswers(
            orders=self.store.orders,
            attempts=self.attempts,
            clock=self.clock,
            alert=self.alert,
            wallets=["wallet"],
        )
        self.checkout = Checkout(
            orders=self.orders,
            payments=self.payments,
            settlement=self.settlement,
            clock=self.clock,
            monotonic_s=lambda: self.real_ms / 1000,
            return_urls=self.return_urls,
            wait_s=0.1,
        )
        self.timeout = TimeoutService(
            orders=self.store.orders,
            service=self.orders,
            settlement=self.settlement,
            on_unreadable=self.unreadable.report,
            clock=self.clock,
        )
        self.auto_approval = AutoApproval(
            orders=self.store.orders,
            refunds=self.store.refunds,
            rules=lambda: self.refund_rules,
            on_unreadable=self.unreadable.report,
            clock=self.clock,
        )
        self.reservation = ReservationService(
            orders=self.store.orders,
            on_unreadable=self.unreadable.report,
            clock=self.clock,
            real_clock=self.real_now,
            owners=["inventory"],
        )

    def _read_the_history(self) -> None:
        self.relay = Relay(outbox=self.store.outbox, publisher=self.publisher, real_clock=self.real_now)
        self.audit = AuditService(self.store.audit, self.clock)
        self.log_store = open_order_log(f"sqlite:///{self.folder / 'oplog.db'}")
        self.order_log = OrderLogService(
            feed=self.store.feed,
            log=self.log_store,
            history=self.store.audit,
            alert=self.alert,
            clock=self.clock,
            keep_days=lambda: 0,
        )
        self.statistics = Statistics(
            log=self.log_store, outbox=self.store.outbox, feed=self.store.feed, clock=self.clock
        )
        self.settled_days = SettledDays(
            store=self.store.reconciliations, sources={}, real_clock=self.real_now
        )

    def placing_service(self) -> PlacingService:
        """Places orders; a second one is what another process would be."""
        return PlacingService(
            orders=self.store.orders,
            carts=self.store.carts,
            goods=self.shelf,
            stock=self.stock,
            addresses=self.addresses,
            idempotency=Idempotency(self.store.orders, self.real_now, tokens=self.tokens),
            clock=self.clock,
            next_sn=self.next_sn,
            next_id=self.ids.__next__,
            new_salt=lambda: f"{next(self.random):032x}",
            rules=lambda: self.rules,
            release_soon=self.lost.append,
            return_urls=self.return_urls,
            channels=self.channels,
            real_clock=self.real_now,
        )

    def payment_service(self) -> PaymentService:
        """The use cases of payments; a second one is what another process would be."""
        return PaymentService(
            orders=self.store.orders,
            payments=self.store.payments,
            channels=self.channels,
            attempts=self.attempts,
            idempotency=Idempotency(self.store.orders, self.real_now, tokens=self.tokens),
            clock=self.clock,
            next_payment_sn=self.numbers.payment_sn,
            return_urls=self.return_urls,
            gateway_secret=GatewaySecret([SECRET]),
            alert=self.alert,
            payer_mark=lambda openid: f"mark of {len(openid)}{openid[-1]}",
            on_forged=ForgedNoticeAlerts(self.alert, self.real_now).report,
        )

    def refund_service(self) -> RefundService:
        """The use cases of refunds; a second one is what another process would be."""
        return RefundService(
            orders=self.store.orders,
            refunds=self.store.refunds,
            channels=self.channels,
            idempotency=Idempotency(self.store.orders, self.real_now, tokens=self.tokens),
            clock=self.clock,
            next_refund_sn=self.numbers.refund_sn,
            rules=lambda: self.refund_rules,
            on_unreadable=self.unreadable.report,
        )
