"""Placing orders, and what buyers and operators do with them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import (
    CouponUnknown,
    DependencyDown,
    EmptyOrder,
    Forbidden,
    IllegalTransition,
    InvalidArgument,
    OrderNotFound,
    OrderServiceError,
    PageTooDeep,
    QuoteUnknown,
    StateChanged,
    TooManyUnpaid,
    TooMuchContention,
)
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import (
    COUNT_CAP,
    Addresses,
    Carts,
    Clock,
    Cursor,
    GoodsCatalogue,
    Key,
    KeyRecord,
    KeyTaken,
    NumberTaken,
    OnUnreadable,
    OrderFilter,
    OrderLookup,
    OrderPage,
    Orders,
    Stock,
)
from shop_order.domain.status import OrderStatus
from shop_order.domain.tombstone import MAX_PLACING_MS
from shop_order.domain.valueobject.actor import SYSTEM, Actor, Role
from shop_order.domain.valueobject.item import merged
from shop_order.domain.valueobject.text import plain_text
from shop_order.service.channels import Channels
from shop_order.service.idempotency import Idempotency, Outcome, same_command
from shop_order.service.placing import Basket, OrderRules, PlaceOrder
from shop_order.service.return_urls import ReturnUrls

MOST_PAGE = 100
FRESH_NUMBERS = 3  # how often a colliding order number is drawn again


class OrderService:
    """The use cases of orders; see the methods for what each raises."""

    def __init__(
        self,
        *,
        orders: Orders,
        carts: Carts,
        goods: GoodsCatalogue,
        stock: Stock,
        addresses: Addresses,
        idempotency: Idempotency,
        clock: Clock,
        next_sn: Callable[[], str],
        next_id: Callable[[], int],
        rules: Callable[[], OrderRules],
        on_unreadable: OnUnreadable,
        on_lost: Callable[[str], None],
        return_urls: ReturnUrls,
        channels: Channels,
        real_clock: Clock,
        shown: OrderLookup | None = None,
    ) -> None:
        """`shown`: where orders are looked up that are only shown; without it, where they are decided."""
        self._orders = orders
        self._shown = shown or orders
        self._carts = carts
        self._goods = goods
        self._stock = stock
        self._addresses = addresses
        self._idempotency = idempotency
        self._now = clock
        self._next_sn = next_sn
        self._next_id = next_id
        self._rules = rules
        self._on_unreadable = on_unreadable
        self._give_back = on_lost
        self._return_urls = return_urls
        self._channels = channels
        self._real_now = real_clock

    # ---- placing ----

    async def place(self, actor: Actor, cmd: PlaceOrder) -> Outcome[Order]:
        """Reserve stock, then store order, items, event, key and the cart's removal in one commit.

        Raises EmptyOrder, GoodsUnavailable, OutOfStock, PriceChanged, QuoteUnknown, CouponUnknown,
        CartChanged, TooManyUnpaid, KeyReused, AddressNotFound, PlacingGivenUp, DependencyDown, Overloaded,
        ChannelUnavailable, InvalidArgument.
        """
        user = buyer(actor)
        # A refusal names them: unbounded, it would not fit into the metadata of an answer.
        plain_text("coupon_id", cmd.coupon_id, most=64)
        plain_text("quote_token", cmd.quote_token, most=512)
        self._return_urls.check("return_url", cmd.return_url)
        self._return_urls.check("cancel_url", cmd.cancel_url)
        cmd = replace(cmd, lines=merged(cmd.lines)) if cmd.lines else cmd
        return await self._idempotency.once(
            f"{user}:place",
            cmd.key,
            cmd.normal(),
            lambda key: self._place(actor, cmd, key),
            self._replay,
        )

    async def _place(self, actor: Actor, cmd: PlaceOrder, key: Key | None) -> Order:
        if cmd.pay_type:
            self._channels.choose(cmd.pay_type)
        if cmd.coupon_id:
            raise CouponUnknown(cmd.coupon_id)
        if cmd.quote_token:
            raise QuoteUnknown
        rules = self._rules()  # once: an order knows one set of them, whenever they are swapped
        if rules.unpaid_limit and await self._orders.count_unpaid(actor.user_id) >= rules.unpaid_limit:
            raise TooManyUnpaid(rules.unpaid_limit)
        basket = await self._basket(actor, cmd)
        for _ in range(FRESH_NUMBERS):
            try:
                return await self._reserve_and_store(actor, cmd, basket, key, rules)
            except NumberTaken:
                continue  # the lease under that number is another order's: leave it alone
        raise TooMuchContention

    async def _reserve_and_store(
        self, actor: Actor, cmd: PlaceOrder, basket: Basket, key: Key | None, rules: OrderRules
    ) -> Order:
        goods = await self._goods.get_many([line.goods for line in basket.lines])
        began_ms = self._real_now()  # before there is a number that somebody could ask about
        order = Order.place(
            basket.lines,
            goods,
            order_sn=self._next_sn(),
            actor=actor,
            address=basket.address,
            note=cmd.note,
            pay_type=cmd.pay_type,
            now_ms=self._now(),
            pay_timeout_ms=rules.pay_timeout_ms,
            next_id=self._next_id,
            expected_fen=cmd.expected_fen,
            pricing=rules.pricing,
            return_url=cmd.return_url,
            cancel_url=cmd.cancel_url,
        )
        await self._stock.reserve(order.order_sn, basket.lines)
        try:
            await self._orders.add(
                order,
                cart_version=basket.cart_version,
                key=key,
                unpaid_limit=rules.unpaid_limit,
                in_time=lambda: self._real_now() - began_ms < MAX_PLACING_MS,
            )
        except KeyTaken as taken:
            self._give_back(order.order_sn)
            assert key is not None
            return await self._replay(same_command(key, taken.record))
        except DependencyDown:
            raise  # it may be stored after all: the lease's end will ask
        except OrderServiceError:
            self._give_back(order.order_sn)
            raise
        return order

    async def _basket(self, actor: Actor, cmd: PlaceOrder) -> Basket:
        place = cmd.address
        address = await self._addresses.get(actor.user_id, place) if isinstance(place, int) else place
        if cmd.lines is not None:
            basket = Basket(cmd.lines, None, address)
        else:
            cart = await self._carts.get(actor.user_id)
            basket = Basket(cart.checked_lines(), cart.version, address)
        if not basket.lines:
            raise EmptyOrder
        return basket

    async def _replay(self, record: KeyRecord) -> Order:
        return await self._orders.get(record.order_sn)

    # ---- looking ----

    async def get(self, actor: Actor, order_sn: str, *, owner: int = 0) -> Order:
        """The order, if the actor may see it; `owner` is the user the caller named, 0 for none.

        Raises OrderNotFound.
        """
        return visible(await self._shown.get(order_sn), actor, owner)

    async def get_by_id(self, actor: Actor, id: int, *, owner: int = 0) -> Order:
        """The order with this id. Raises OrderNotFound, InvalidArgument."""
        if id <= 0:
            raise InvalidArgument("id", "not_an_id")
        return visible(await self._shown.get_by_id(id), actor, owner)

    async def history(self, order: Order) -> Sequence[Event]:
        """The events of an order the caller was shown."""
        return await self._orders.history(order.order_sn)

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
        """A page of orders, newest first, with all or the first `max_items` of each.

        Users see their own, admins the `where.user` they name or all.

        Raises InvalidArgument, PageTooDeep.
        """
        if page < 1 or page_size < 1:
            raise InvalidArgument("page" if page < 1 else "page_size", "too_small", min=1)
        if where.start_ms is not None and where.end_ms is not None and where.start_ms > where.end_ms:
            raise InvalidArgument("start_time", "too_late", other="end_time")
        page_size = min(page_size, MOST_PAGE)
        offset = 0 if after else (page - 1) * page_size
        if offset + page_size > COUNT_CAP:
            raise PageTooDeep(COUNT_CAP)
        if not actor.is_admin:
            where = replace(where, user=buyer(actor))
        found = await self._orders.list(
            where, offset=offset, limit=page_size, after=after, max_items=max_items
        )
        for row in found.unreadable:
            self._on_unreadable(row)
        return found

    # ---- after placing ----

    async def cancel(
        self,
        actor: Actor,
        order_sn: str,
        reason: str = "",
        *,
        owner: int = 0,
        expected: OrderStatus | None = None,
    ) -> Order:
        """Give an unpaid order up; its stock comes back by the event. Again is no error.

        Raises OrderNotFound, UseRefund, IllegalTransition, StateChanged, InvalidArgument.
        """
        plain_text("reason", reason, most=255)
        code = "ADMIN" if actor.is_admin else "BUYER"

        def decide(order: Order) -> None:
            expect(visible(order, actor, owner), expected)
            order.cancel(reason, actor, self._now(), code=code)

        return (await self._orders.change(order_sn, decide))[0]

    async def ship(
        self, actor: Actor, order_sn: str, company: str, no: str, *, expected: OrderStatus | None = None
    ) -> Order:
        """Send the parcel. The same parcel again is no error.

        Raises OrderNotFound, IllegalTransition, RefundOpen, StateChanged, InvalidArgument.
        """

        def decide(order: Order) -> None:
            expect(order, expected)
            order.ship(company, no, actor, self._now(), auto_confirm_ms=self._rules().auto_confirm_ms)

        return (await self._orders.change(order_sn, decide))[0]

    async def confirm(self, actor: Actor, order_sn: str, *, expected: OrderStatus | None = None) -> Order:
        """The buyer has received it. Again is no error.

        Raises OrderNotFound, IllegalTransition, RefundOpen, StateChanged.
        """

        def decide(order: Order) -> None:
            expect(visible(order, actor), expected)
            order.complete(actor, self._now())

        return (await self._orders.change(order_sn, decide))[0]

    async def time_is_over(self, order_sn: str) -> Order:
        """Cancel an unpaid order, or confirm a shipped one, whose time is over; otherwise change nothing.

        Raises OrderNotFound, RefundOpen.
        """

        def decide(order: Order) -> None:
            now_ms = self._now()
            if order.due_ms is None or order.due_ms > now_ms:
                return
            if order.status is OrderStatus.PENDING:
                order.cancel("", SYSTEM, now_ms, code="TIMEOUT")
            else:
                order.complete(SYSTEM, now_ms)

        return (await self._orders.change(order_sn, decide))[0]

    async def update_status(
        self,
        actor: Actor,
        order_sn: str,
        to: OrderStatus,
        *,
        expected: OrderStatus | None = None,
        reason: str = "",
        logistics: tuple[str, str] = ("", ""),
    ) -> Order:
        """Chapter 3's one method for three moves: cancel (both), ship (admin), complete (buyer).

        Raises Forbidden, IllegalTransition (to paid, to pending), and what the move raises.
        """
        if to is OrderStatus.CANCELLED:
            return await self.cancel(actor, order_sn, reason, expected=expected)
        if to is OrderStatus.SHIPPED:
            if not actor.is_admin:
                raise Forbidden
            return await self.ship(actor, order_sn, *logistics, expected=expected)
        if to is OrderStatus.COMPLETED:
            if actor.is_admin:
                raise Forbidden("buyer_only")
            return await self.confirm(actor, order_sn, expected=expected)
        order = await self.get(actor, order_sn)
        raise IllegalTransition(order.status.name, to.name)


def buyer(actor: Actor) -> int:
    """The user who buys. Raises Forbidden for who is no user and acts for none."""
    if actor.role not in (Role.USER, Role.SERVICE) or actor.user_id <= 0:
        raise Forbidden("user_only")
    return actor.user_id


def visible(order: Order, actor: Actor, owner: int = 0) -> Order:
    """The order, unless it must look as if it did not exist. Raises OrderNotFound."""
    mine = actor.role is Role.SYSTEM or actor.is_admin or order.user == actor.user_id
    if not mine or (owner and order.user != owner):
        raise OrderNotFound
    return order


def expect(order: Order, status: OrderStatus | None) -> None:
    """Raise StateChanged if the caller's expectation is no longer so."""
    if status is not None and order.status is not status:
        raise StateChanged(order.status.name)
