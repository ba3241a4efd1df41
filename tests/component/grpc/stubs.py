"""A gRPC front over stub use cases: what reaches them, and what becomes of what they answer."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc.aio
import pytest
from google.protobuf.empty_pb2 import Empty
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from shop_order.domain.entity.cart import CartLine
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import OrderNotFound
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import Cursor, OrderFilter, OrderPage
from shop_order.domain.status import OrderStatus, PaymentState, PaymentType
from shop_order.domain.valueobject.item import Goods, Line
from shop_order.domain.valueobject.parties import Actor, PostalAddress, Role
from shop_order.pkg.ids import is_order_sn
from shop_order.pkg.log import bound_fields
from shop_order.pkg.ratelimit import MemoryRateLimiter
from shop_order.pkg.signing import Signer
from shop_order.service.cart import CartLineView, CartService, CartView
from shop_order.service.idempotency import Outcome
from shop_order.service.notice import GatewayNotice
from shop_order.service.order import OrderService, visible
from shop_order.service.pay import Attempt, PaymentService, PayOrder
from shop_order.service.place import PlaceOrder, PlacingService
from shop_order.service.reservation import ReservationService, Verdict
from shop_order.service.use_cases import UseCases
from shop_order.web.auth.client_address import networks
from shop_order.web.auth.keys import DevKey
from shop_order.web.auth.limits import Pools, RateLimits, Rates
from shop_order.web.auth.tokens import Authenticator, TokenRules, mint_token
from shop_order.web.dto.cursors import Cursors
from shop_order.web.grpc.chain import Methods
from shop_order.web.grpc.server import (
    GrpcSettings,
    Interceptors,
    OrderGrpcServer,
    build_server,
    service_methods,
)
from shop_order.web.open_streams import OpenStreams

TRANSPORT = "grpcio"  # what serves; the fixture `transport` sets it
SECRET = "0" * 64
SN = "261123134500123456789012349"
GOODS = {3: Goods(3, "青瓷杯", "cup.png", 1999, True)}
ADDRESS = PostalAddress("张三", "13800138000", "文三路 100 号", "浙江省", "杭州市", "西湖区")
NOW_MS = 1_763_900_000_123


def token(user: int = 7, role: Role = Role.USER, *, act_for: int | None = None, name: str = "") -> str:
    """A token of the development key."""
    return mint_token(SECRET, subject=name or str(user), role=role, act_for=act_for)


def bearer(user: int = 7, role: Role = Role.USER, **more: Any) -> tuple[tuple[str, str], ...]:
    """Metadata with a token."""
    return (("authorization", f"Bearer {token(user, role, **more)}"),)


ADMIN = bearer(1, Role.ADMIN)
SERVICE = bearer(role=Role.SERVICE, name="inventory")
ACTING = bearer(role=Role.SERVICE, name="user-operation", act_for=7)


def an_order(user: int = 7, order_sn: str = SN, id: int = 11, lines: Sequence[Line] = (Line(3, 2),)) -> Order:
    """A pending order."""
    order = Order.place(
        lines,
        GOODS,
        order_sn=order_sn,
        actor=Actor(Role.USER, user),
        address=ADDRESS,
        note="放门口",
        pay_type=PaymentType.NOT_CHOSEN,
        now_ms=NOW_MS,
        pay_timeout_ms=1_800_000,
        next_id=lambda: id,
    )
    return order


class StubOrders(OrderService):
    """Remembers commands; answers with one order of user 7."""

    def __init__(self) -> None:
        self.order = an_order()
        self.asked: list[tuple[Any, ...]] = []
        self.busy = asyncio.Event()
        self.fails: Exception | None = None
        self.delay_s = 0.0
        self.replayed = False
        self.events: list[Event] = []
        self.next: Cursor | None = None

    async def answer(self, *asked: Any) -> Order:
        self.asked.append(asked)
        self.busy.set()
        await asyncio.sleep(self.delay_s)
        if self.fails:
            raise self.fails
        return self.order

    async def get(self, actor: Actor, order_sn: str, *, owner: int = 0) -> Order:
        return visible(await self.answer("get", actor, order_sn, owner), actor, owner)

    async def get_by_id(self, actor: Actor, id: int, *, owner: int = 0) -> Order:
        if id != self.order.id:
            raise OrderNotFound
        return visible(await self.answer("get_by_id", actor, id, owner), actor, owner)

    async def history(self, order: Order) -> Sequence[Event]:
        return self.events

    async def list(
        self,
        actor: Actor,
        where: OrderFilter,
        *,
        page: int = 1,
        page_size: int = 20,
        after: Cursor | None = None,
        max_items: int | None = None,
    ) -> OrderPage:
        return OrderPage([await self.answer("list", actor, where, page, page_size, after)], 1, self.next)

    async def cancel(
        self,
        actor: Actor,
        order_sn: str,
        reason: str = "",
        *,
        owner: int = 0,
        expected: OrderStatus | None = None,
        refund_paid: bool = True,
    ) -> Order:
        return await self.answer("cancel", actor, order_sn, reason, owner, expected)

    async def ship(
        self, actor: Actor, order_sn: str, company: str, no: str, *, expected: OrderStatus | None = None
    ) -> Order:
        return await self.answer("ship", actor, order_sn, company, no, expected)

    async def confirm(self, actor: Actor, order_sn: str, *, expected: OrderStatus | None = None) -> Order:
        return await self.answer("confirm", actor, order_sn, expected)


class StubPlacing(PlacingService):
    """Remembers commands among those of `orders`, and answers with its order."""

    def __init__(self, orders: StubOrders) -> None:
        self._stub = orders

    async def place(self, actor: Actor, cmd: PlaceOrder) -> Outcome[Order]:
        return Outcome(await self._stub.answer("place", actor, cmd), self._stub.replayed)


class StubPayments(PaymentService):
    """Remembers commands and notices; has no channel but Alipay."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.fails: Exception | None = None

    async def pay(self, actor: Actor, cmd: PayOrder) -> Outcome[Attempt]:
        self.asked.append(("pay", actor, cmd))
        return Outcome(Attempt(an_order(), a_payment()))

    async def get_payment(self, actor: Actor, order_sn: str, *, owner: int = 0) -> Attempt:
        self.asked.append(("get_payment", actor, order_sn, owner))
        return Attempt(an_order(), a_payment())

    async def provider_notice(
        self, payment_type: PaymentType, body: bytes, headers: Mapping[str, str]
    ) -> str:
        self.asked.append(("provider", payment_type, body, dict(headers)))
        if self.fails:
            raise self.fails
        return SN

    async def gateway_notice(self, notice: GatewayNotice) -> None:
        self.asked.append(("gateway", notice))
        if self.fails:
            raise self.fails


class StubCarts(CartService):
    """Remembers commands; the cart has one line."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def view(self, actor: Actor) -> CartView:
        return CartView(actor.user_id, 4, (a_cart_line(),))

    async def add(self, actor: Actor, goods: int, nums: int = 1, *, checked: bool = True) -> CartLineView:
        self.asked.append(("add", actor, goods, nums, checked))
        return a_cart_line()

    async def update(
        self, actor: Actor, goods: int, *, id: int = 0, nums: int | None = None, checked: bool | None = None
    ) -> None:
        self.asked.append(("update", actor, goods, id, nums, checked))

    async def check(self, actor: Actor, checked: bool, *, goods: int = 0, id: int = 0) -> None:
        self.asked.append(("check", actor, checked, goods, id))

    async def remove(self, actor: Actor, goods: int, *, id: int = 0) -> None:
        self.asked.append(("remove", actor, goods, id))


class StubReservations(ReservationService):
    """Every order is still pending."""

    def __init__(self) -> None:
        pass

    async def check(self, actor: Actor, order_sns: Sequence[str]) -> list[Verdict]:
        return [Verdict(sn, "EXTEND", 99) for sn in order_sns if is_order_sn(sn)]


def a_cart_line() -> CartLineView:
    """Two cups, in stock."""
    return CartLineView(CartLine(21, 3, 2, True, NOW_MS, NOW_MS), GOODS[3], 5)


def a_payment() -> Payment:
    """An open attempt through Alipay."""
    return Payment(
        payment_sn="P" + SN,
        order_sn=SN,
        user=7,
        payment_type=PaymentType.ALIPAY,
        trade_type="page",
        amount_fen=3998,
        state=PaymentState.PENDING,
        payment_url="https://pay.example/1",
        created_ms=NOW_MS,
        expire_ms=NOW_MS + 1_800_000,
    )


def cashier_link(order: Order) -> str:
    """Where an order is paid."""
    return f"http://cashier/{order.order_sn}"


def cursors() -> Cursors:
    """Signed with a key of the tests."""
    return Cursors(Signer([b"k" * 32]))


class Journal:
    """A logger and an observer that keep what they are told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.bound: list[dict[str, Any]] = []
        self.observed: list[tuple[str, str]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))
        self.bound.append(dict(bound_fields()))

    def exception(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def observe(self, method: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        self.observed.append((method, code))


@dataclass
class Bounds:
    """Of open calls."""

    grpc_calls: int = 4096
    grpc_address_calls: int = 1024
    grpc_streams: int = 1024
    grpc_address_streams: int = 64
    grpc_user_streams: int = 16
    grpc_address_connections: int = 128


@dataclass
class World:
    """The server and everything behind it."""

    orders: StubOrders = field(default_factory=StubOrders)
    payments: StubPayments = field(default_factory=StubPayments)
    carts: StubCarts = field(default_factory=StubCarts)
    journal: Journal = field(default_factory=Journal)
    rates: Rates = field(default_factory=lambda: Rates(user_rate=0))
    deadline_s: float = 5.0
    callback_allow: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    settings: GrpcSettings = field(default_factory=lambda: GrpcSettings(reflection=True))
    port: int = 0
    running: OrderGrpcServer = field(init=False)
    bounds: Bounds = field(default_factory=Bounds)
    pools: Pools = field(init=False)

    def __post_init__(self) -> None:
        self.pools = Pools(lambda: self.bounds, networks(self.trusted_proxies))

    def server(self, *more: Methods) -> OrderGrpcServer:
        """Build it, with methods of the test's own; nothing listens yet."""
        front = Interceptors(
            log=self.journal,
            observe=self.journal.observe,
            observe_stream=self.journal.observe,
            deadline_s=lambda: self.deadline_s,
            authenticator=Authenticator(DevKey(SECRET), TokenRules()),
            limits=RateLimits(MemoryRateLimiter(1000), lambda: self.rates),
            pools=self.pools,
            callback_allow=lambda: self.callback_allow,
            trusted_proxies=networks(self.trusted_proxies),
        )
        settings = replace(self.settings, transport=TRANSPORT)
        return build_server([*self.methods(), *more], front, settings, OpenStreams(self.pools))

    def methods(self) -> list[Methods]:
        """What is registered."""
        nothing: dict[str, Any] = dict.fromkeys(UseCases.__dataclass_fields__)
        mine = {
            "carts": self.carts,
            "placing": StubPlacing(self.orders),
            "orders": self.orders,
            "payments": self.payments,
            "reservations": StubReservations(),
        }
        use_cases = UseCases(**nothing | mine)
        return service_methods(
            use_cases, cashier_link=cashier_link, cursors=cursors(), log=lambda *_, **__: None
        )

    async def call(
        self,
        method: str,
        request: Any,
        answer: type[Any],
        metadata: tuple[tuple[str, str], ...] | None = None,
        **options: Any,
    ) -> Any:
        """One call on a connection of its own, as user 7 unless told otherwise."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub = channel.unary_unary(
                method,
                request_serializer=(lambda raw: raw)
                if isinstance(request, bytes)
                else type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            return await stub(request, metadata=bearer() if metadata is None else metadata, **options)

    async def refused(
        self, method: str, request: Any, metadata: tuple[tuple[str, str], ...] | None = None
    ) -> tuple[str, str]:
        """The code and the field, or reason, of a call that must be refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request, Empty, metadata)
        raw = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
        assert isinstance(raw, bytes)
        info = ErrorInfo.FromString(Status.FromString(raw).details[0].value)
        return caught.value.code().name, info.metadata.get("field", info.reason)
