"""Placing an order: reserve its stock, then store it in one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, unquote, urlsplit

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import (
    CouponUnknown,
    DependencyDown,
    EmptyOrder,
    InvalidArgument,
    OrderServiceError,
    QuoteUnknown,
    TooManyUnpaid,
    TooMuchContention,
)
from shop_order.domain.ports import (
    MAX_PLACING_MS,
    AddressBook,
    Carts,
    Clock,
    GoodsCatalogue,
    Key,
    KeyRecord,
    KeyTaken,
    NumberTaken,
    Orders,
    Stock,
)
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import NO_FREIGHT, Line, Pricing, merge_lines
from shop_order.domain.valueobject.parties import Actor, PostalAddress
from shop_order.domain.valueobject.text import plain_text
from shop_order.service.channels import Channels
from shop_order.service.idempotency import Idempotency, Outcome, same_command

MAX_URL_LENGTH = 512
_PORTS = {"http": 80, "https": 443}
FRESH_NUMBERS = 3  # how often a colliding order number is drawn again


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Buy these `lines`, or the checked lines of the cart if None.

    `address` is an address, or the id of an entry of the buyer's address book. The cashier links to
    `return_url` once the order is paid, to `cancel_url` otherwise.
    """

    address: PostalAddress | int
    lines: tuple[Line, ...] | None = None
    note: str = ""
    pay_type: PaymentType = PaymentType.NOT_CHOSEN
    coupon_id: str = ""
    quote_token: str = ""
    expected_fen: int | None = None
    key: str = ""
    return_url: str = ""
    cancel_url: str = ""

    def normalized(self) -> list[object]:
        """The command without the key, to compare requests."""
        a = self.address
        lines = None if self.lines is None else [[line.goods, line.nums] for line in self.lines]
        # An entry of the address book counts by its id: it may change, and the request is still the same.
        place = (
            a if isinstance(a, int) else [a.name, a.phone, a.detail, a.province, a.city, a.district, a.post]
        )
        # Left out if unused, so that older keys still match their commands.
        pages = [self.return_url, self.cancel_url] if self.return_url or self.cancel_url else []
        return [
            "place",
            lines,
            place,
            self.note,
            int(self.pay_type),
            self.coupon_id,
            self.quote_token,
            self.expected_fen,
            *pages,
        ]


@dataclass(frozen=True, slots=True)
class Basket:
    """The lines to buy and their address; `cart_version` is None if they are not from the cart."""

    lines: tuple[Line, ...]
    cart_version: int | None
    address: PostalAddress


@dataclass(frozen=True, slots=True)
class OrderRules:
    """Settings of the use cases; a reload replaces the whole object."""

    pay_timeout_ms: int = 1_800_000
    auto_confirm_ms: int = 604_800_000
    unpaid_limit: int = 20
    pricing: Pricing = NO_FREIGHT


class ReturnUrls:
    """The allow-list: an entry allows its path and everything below it, on exactly its host and port."""

    def __init__(self, allowed_urls: Callable[[], Sequence[str]]) -> None:
        """`allowed_urls` is called for every check, since the setting may be reloaded."""
        self._allowed = allowed_urls

    def check(self, field: str, url: str) -> None:
        """Check that the URL is allowed or empty. Raises InvalidArgument."""
        if not url:
            return
        plain_text(field, url, max_length=MAX_URL_LENGTH)
        parts = _split(url)
        if parts is None:
            raise InvalidArgument(field, "not_a_url")
        if not any(_is_below(parts, urlsplit(allowed)) for allowed in self._allowed()):
            raise InvalidArgument(field, "not_allowed_url")

    def allowed_or_empty(self, url: str) -> str:
        """Return a stored URL, or an empty one if it is no longer allowed."""
        try:
            self.check("url", url)
        except InvalidArgument:
            return ""
        return url


def _split(url: str) -> SplitResult | None:
    # urlsplit silently drops tabs and line ends, and browsers read \ as /, so they would open another URL
    # than the one that was checked.
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is invalid
    except ValueError:
        return None
    complete = parts.scheme in _PORTS and parts.hostname and "@" not in parts.netloc
    segments = unquote(parts.path).replace("\\", "/").split("/")
    return parts if complete and "." not in segments and ".." not in segments else None


def _is_below(parts: SplitResult, allowed: SplitResult) -> bool:
    if _origin(parts) != _origin(allowed):
        return False
    folder = allowed.path.rstrip("/")
    return parts.path == folder or parts.path.startswith(folder + "/")


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)


@dataclass(kw_only=True, eq=False)
class PlacingService:
    """Places orders, for every protocol."""

    orders: Orders
    carts: Carts
    goods: GoodsCatalogue
    stock: Stock
    addresses: AddressBook
    idempotency: Idempotency
    clock: Clock
    next_sn: Callable[[], str]
    next_id: Callable[[], int]
    new_salt: Callable[[], str]
    rules: Callable[[], OrderRules]
    release_soon: Callable[[str], None]  # the stock of an order that was not stored, in the background
    return_urls: ReturnUrls
    channels: Channels
    real_clock: Clock

    async def place(self, actor: Actor, cmd: PlaceOrder) -> Outcome[Order]:
        """Place an order: reserve its stock, then store it and empty the cart in one commit.

        Raises EmptyOrder, GoodsUnavailable, OutOfStock, PriceChanged, QuoteUnknown, CouponUnknown,
        CartChanged, TooManyUnpaid, KeyReused, AddressNotFound, PlacingGivenUp, DependencyDown, Overloaded,
        ChannelUnavailable, InvalidArgument.
        """
        user = actor.buyer_id()
        # Bounded, since errors name them, and must fit into gRPC metadata.
        plain_text("coupon_id", cmd.coupon_id, max_length=64)
        plain_text("quote_token", cmd.quote_token, max_length=512)
        self.return_urls.check("return_url", cmd.return_url)
        self.return_urls.check("cancel_url", cmd.cancel_url)
        cmd = replace(cmd, lines=merge_lines(cmd.lines)) if cmd.lines else cmd
        return await self.idempotency.once(
            f"{user}:place",
            cmd.key,
            cmd.normalized(),
            lambda key: self._place(actor, cmd, key),
            self._replay,
        )

    async def _place(self, actor: Actor, cmd: PlaceOrder, key: Key | None) -> Order:
        if cmd.pay_type:
            self.channels.choose(cmd.pay_type)
        if cmd.coupon_id:
            raise CouponUnknown(cmd.coupon_id)
        if cmd.quote_token:
            raise QuoteUnknown
        rules = self.rules()  # once, so that a reload does not change them halfway
        if rules.unpaid_limit and await self.orders.count_unpaid(actor.user_id) >= rules.unpaid_limit:
            raise TooManyUnpaid(rules.unpaid_limit)
        basket = await self._basket(actor, cmd)
        for _ in range(FRESH_NUMBERS):
            try:
                return await self._reserve_and_store(actor, cmd, basket, key, rules)
            except NumberTaken:
                continue  # the stock under that number is another order's: do not release it
        raise TooMuchContention

    async def _reserve_and_store(
        self, actor: Actor, cmd: PlaceOrder, basket: Basket, key: Key | None, rules: OrderRules
    ) -> Order:
        goods = await self.goods.get_many([line.goods for line in basket.lines])
        began_ms = (
            self.real_clock()
        )  # before the number is drawn: from then on, the inventory may ask about it
        order = Order.place(
            basket.lines,
            goods,
            order_sn=self.next_sn(),
            actor=actor,
            address=basket.address,
            note=cmd.note,
            pay_type=cmd.pay_type,
            now_ms=self.clock(),
            pay_timeout_ms=rules.pay_timeout_ms,
            next_id=self.next_id,
            salt=self.new_salt(),
            expected_fen=cmd.expected_fen,
            pricing=rules.pricing,
            return_url=cmd.return_url,
            cancel_url=cmd.cancel_url,
        )
        await self.stock.reserve(order.order_sn, basket.lines)
        try:
            await self.orders.add(
                order,
                cart_version=basket.cart_version,
                key=key,
                unpaid_limit=rules.unpaid_limit,
                in_time=lambda: self.real_clock() - began_ms < MAX_PLACING_MS,
            )
        except KeyTaken as taken:
            self.release_soon(order.order_sn)
            assert key is not None
            return await self._replay(same_command(key, taken.record))
        except DependencyDown:
            raise  # it may be stored after all: the inventory asks when the lease expires
        except OrderServiceError:
            self.release_soon(order.order_sn)
            raise
        return order

    async def _basket(self, actor: Actor, cmd: PlaceOrder) -> Basket:
        place = cmd.address
        address = await self.addresses.get(actor.user_id, place) if isinstance(place, int) else place
        if cmd.lines is not None:
            basket = Basket(cmd.lines, None, address)
        else:
            cart = await self.carts.get(actor.user_id)
            basket = Basket(cart.checked_lines(), cart.version, address)
        if not basket.lines:
            raise EmptyOrder
        return basket

    async def _replay(self, record: KeyRecord) -> Order:
        return await self.orders.get(record.order_sn)
