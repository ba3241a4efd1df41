"""Rules: carts and placing orders, also at awkward moments."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import (
    CartChanged,
    CartLineNotFound,
    EmptyOrder,
    GoodsUnavailable,
    InvalidArgument,
    KeyReused,
    OrderServiceError,
    OutOfStock,
    PlacingGivenUp,
    PriceChanged,
    TooManyUnpaid,
)
from shop_order.domain.valueobject.item import Line
from shop_order.service.idempotency import Outcome
from shop_order.service.place import PlaceOrder, PlacingService
from tests.property.model import FAR_FEN, UNPAID_LIMIT, Lines
from tests.property.stage import USERS, Stage, buyer
from tests.world.shop import ADDRESS

Refusal = type[OrderServiceError]
users = st.sampled_from(USERS)
goods_ids = st.integers(1, 4)  # 4 does not exist
keys = st.sampled_from(["", "", "k1", "k2"])
basket_lines = st.tuples(st.sampled_from([1, 1, 3, 2, 4]), st.integers(1, 4))
baskets = st.lists(basket_lines, min_size=1, max_size=3)
any_checked = precondition(lambda self: any(self.model.checked(user) for user in USERS))
any_orders = precondition(lambda self: bool(self.model.orders))


class Buying(Stage):
    """Carts and placing."""

    # ---- the cart ----

    @rule(
        user=users,
        goods=goods_ids,
        nums=st.sampled_from([1, 1, 2, 3]),
        checked=st.sampled_from([True, True, False]),
    )
    def cart_add(self, user: int, goods: int, nums: int, checked: bool) -> None:
        cart = self.model.cart(user)
        there = cart.get(goods, (0, False))[0]
        got = self.attempt(self.world.carts.add(buyer(user), goods, nums, checked=checked))
        if goods not in self.world.shelf.goods or not self.world.shelf.goods[goods].on_sale:
            assert got is GoodsUnavailable
        elif there + nums > 999:
            assert got is InvalidArgument
        else:
            assert not isinstance(got, type)
            assert got.line.nums == there + nums
            cart[goods] = (there + nums, checked)

    @rule(user=users, goods=st.sampled_from([1, 3]), nums=st.sampled_from([998, 999]))
    def cart_add_beyond_the_cap(self, user: int, goods: int, nums: int) -> None:
        cart = self.model.cart(user)
        if goods in cart and self.world.shelf.goods[goods].on_sale:
            there = cart[goods][0]
            got = self.attempt(self.world.carts.add(buyer(user), goods, nums))
            assert (got is InvalidArgument) == (there + nums > 999)
            if there + nums <= 999:
                self.cart_remove(user, goods)  # nobody has so many

    @rule(
        user=users,
        goods=goods_ids,
        nums=st.sampled_from([None, 1, 2, 1000]),
        checked=st.sampled_from([None, True, False]),
    )
    def cart_update(self, user: int, goods: int, nums: int | None, checked: bool | None) -> None:
        cart = self.model.cart(user)
        got = self.attempt(self.world.carts.update(buyer(user), goods, nums=nums, checked=checked))
        if goods not in cart:
            assert got is CartLineNotFound
        elif nums == 1000:
            assert got is InvalidArgument
        else:
            assert got is None
            old_nums, old_checked = cart[goods]
            cart[goods] = (nums or old_nums, old_checked if checked is None else checked)

    @rule(user=users, goods=goods_ids)
    def cart_remove(self, user: int, goods: int) -> None:
        assert self.attempt(self.world.carts.remove(buyer(user), goods)) is None
        self.model.cart(user).pop(goods, None)

    @rule(user=users, checked=st.booleans())
    def cart_check_all(self, user: int, checked: bool) -> None:
        assert self.attempt(self.world.carts.check(buyer(user), checked)) is None
        cart = self.model.cart(user)
        self.model.carts[user] = {goods: (nums, checked) for goods, (nums, _) in cart.items()}

    # ---- placing ----

    @initialize(
        orders=st.lists(st.tuples(users, st.sampled_from([1, 2, 3]), st.integers(1, 2)), max_size=4),
        carts=st.lists(st.tuples(users, st.sampled_from([1, 2, 3])), max_size=4),
    )
    def some_orders_stand_and_carts_are_filled(
        self, orders: list[tuple[int, int, int]], carts: list[tuple[int, int]]
    ) -> None:
        for user, goods in carts:
            self.cart_add(user, goods, 1, True)
        for user, goods, nums in orders:
            lines = ((goods, nums),)
            cmd = self.command(lines, "")
            expected = self.expected(user, lines, cmd)
            got = self.attempt(self.world.placing.place(buyer(user), cmd))
            self.check_placed(user, lines, cmd, got, expected)

    @rule(user=users, key=keys)
    def place_nothing(self, user: int, key: str) -> None:
        cmd = self.command((), key)
        expected = self.expected(user, (), cmd)
        self.check_placed(user, (), cmd, self.attempt(self.world.placing.place(buyer(user), cmd)), expected)

    @rule(user=users, basket=baskets, key=keys, price_moved=st.sampled_from([False, False, False, True]))
    def place_list(self, user: int, basket: list[tuple[int, int]], key: str, price_moved: bool) -> None:
        lines = added_up(basket)
        known = (user, "place", key) in self.model.keys
        wrong_fen = self.price(lines) + 1 if price_moved and not known else None
        cmd = replace(self.command(lines, key), expected_fen=wrong_fen)
        expected = self.expected(user, lines, cmd)
        if wrong_fen and expected in (None, OutOfStock):
            expected = PriceChanged
        self.check_placed(
            user, lines, cmd, self.attempt(self.world.placing.place(buyer(user), cmd)), expected
        )

    @any_checked
    @rule(user=users, key=keys)
    def place_cart(self, user: int, key: str) -> None:
        lines, cmd = self.model.checked(user), self.command(None, key)
        expected = self.expected(user, lines, cmd)
        self.check_placed(
            user, lines, cmd, self.attempt(self.world.placing.place(buyer(user), cmd)), expected
        )

    @rule(user=users, basket=baskets, from_cart=st.booleans(), key=keys)
    def place_so_slowly_that_the_lease_runs_out(
        self, user: int, basket: list[tuple[int, int]], from_cart: bool, key: str
    ) -> None:
        async def too_slow() -> None:
            self.world.real_ms += 61_000
            await self.world.neighbours.check_back(self.world.reservation)

        lines = self.model.checked(user) if from_cart else added_up(basket)
        cmd = self.command(None if from_cart else lines, key)
        expected = self.expected(user, lines, cmd) or PlacingGivenUp
        got = self.attempt(self.with_hook(too_slow, self.world.placing, user, cmd))
        self.check_placed(user, lines, cmd, got, expected)

    @any_checked
    @rule(user=users, key=keys)
    def place_cart_that_is_touched_meanwhile(self, user: int, key: str) -> None:
        async def one_more() -> None:
            await self.world.carts.update(buyer(user), lines[0][0], checked=False)
            nums, _ = self.model.cart(user)[lines[0][0]]
            self.model.cart(user)[lines[0][0]] = (nums, False)

        lines, cmd = self.model.checked(user), self.command(None, key)
        expected = self.expected(user, lines, cmd) or CartChanged
        got = self.attempt(self.with_hook(one_more, self.world.placing, user, cmd))
        self.check_placed(user, lines, cmd, got, expected)

    @any_checked
    @rule(user=users, key=keys)
    def click_twice(self, user: int, key: str) -> None:
        lines, cmd = self.model.checked(user), self.command(None, key)
        expected = self.expected(user, lines, cmd)

        async def both() -> tuple[Outcome[Order] | BaseException, Outcome[Order] | BaseException]:
            place = self.world.placing.place
            return await asyncio.gather(
                place(buyer(user), cmd), place(buyer(user), cmd), return_exceptions=True
            )

        one, two = (type(got) if isinstance(got, OrderServiceError) else got for got in self.run(both()))
        if isinstance(one, type) or (not key and isinstance(two, Outcome)):
            one, two = two, one
        self.check_placed(user, lines, cmd, one, expected)  # type: ignore[arg-type]
        if expected:
            assert two is expected
        elif key:
            assert isinstance(one, Outcome)
            assert isinstance(two, Outcome)
            assert two.result.order_sn == one.result.order_sn
        else:
            assert two in (CartChanged, EmptyOrder, OutOfStock, TooManyUnpaid)

    @rule(user=users, basket=baskets, from_cart=st.booleans())
    def place_in_two_processes_with_one_key(
        self, user: int, basket: list[tuple[int, int]], from_cart: bool
    ) -> None:
        other: list[Outcome[Order] | Refusal] = []

        async def the_other() -> None:
            try:
                other.append(await self.world.placing_service().place(buyer(user), cmd))
            except OrderServiceError as refused:
                other.append(type(refused))

        lines = self.model.checked(user) if from_cart else added_up(basket)
        cmd = self.command(None if from_cart else lines, "k2")
        expected = self.expected(user, lines, cmd)
        known = (user, "place", "k2") in self.model.keys
        got = self.attempt(self.with_hook(the_other, self.world.placing, user, cmd))
        if other and not isinstance(other[0], type):
            assert not known
            assert isinstance(got, Outcome)
            assert got.result.order_sn == other[0].result.order_sn
        self.check_placed(user, lines, cmd, got, expected)

    @any_orders
    @rule(user=users, at=st.integers(0, 9), same_lines=st.booleans(), nums=st.integers(1, 3))
    def draw_a_number_that_is_taken(self, user: int, at: int, same_lines: bool, nums: int) -> None:
        taken = self.pick(self.model.orders.values(), at)
        if taken is None:
            return
        lines = taken.lines if same_lines else ((1, nums),)
        cmd = self.command(lines, "")
        expected = self.expected(user, lines, cmd)
        given_back = self.lease(taken.sn) == "released"
        if given_back and expected in (None, OutOfStock):
            expected = PlacingGivenUp
        self.world.next_numbers = [taken.sn]
        got = self.attempt(self.world.placing.place(buyer(user), cmd))
        self.world.next_numbers = []
        self.check_placed(user, lines, cmd, got, expected)

    @rule(nums=st.integers(1, 2))
    def die_between_reserve_and_commit(self, nums: int) -> None:
        if self.stocks()[2][0] >= nums:
            self.run(self.world.stock.reserve(self.world.next_sn(), [Line(2, nums)]))

    @rule(goods=st.integers(1, 3), fen=st.sampled_from([1, 1999, 999_999]), on_sale=st.booleans())
    def change_goods(self, goods: int, fen: int, on_sale: bool) -> None:
        shelf = self.world.shelf.goods
        shelf[goods] = replace(shelf[goods], price_fen=fen, on_sale=on_sale or goods == 1)

    # ---- what placing must do ----

    def command(self, lines: Lines | None, key: str) -> PlaceOrder:
        """Buy these lines, or with None the cart."""
        wanted = None if lines is None else tuple(Line(goods, nums) for goods, nums in lines)
        return PlaceOrder(ADDRESS, wanted, key=key)

    def price(self, lines: Lines) -> int:
        """Today's sum with freight, for goods that exist."""
        shelf = self.world.shelf.goods
        total_fen = sum(shelf[goods].price_fen * nums for goods, nums in lines if goods in shelf)
        return total_fen + self.model.freight(total_fen) + FAR_FEN

    def expected(self, user: int, lines: Lines, cmd: PlaceOrder) -> Refusal | None:
        """Which refusal, None for an order (a new one, or the one of the key)."""
        if known := self.model.keys.get((user, "place", cmd.key)):
            return None if known[0] == meaning(cmd) else KeyReused
        if self.model.unpaid(user) >= UNPAID_LIMIT:
            return TooManyUnpaid
        if not lines:
            return EmptyOrder
        shelf = self.world.shelf.goods
        if any(goods not in shelf or not shelf[goods].on_sale for goods, _ in lines):
            return GoodsUnavailable
        stocks = self.stocks()
        return OutOfStock if any(stocks[goods][0] < nums for goods, nums in lines) else None

    def check_placed(
        self,
        user: int,
        lines: Lines,
        cmd: PlaceOrder,
        got: Outcome[Order] | Refusal,
        expected: Refusal | None,
    ) -> None:
        """Compare with what was expected, and tell the model."""
        known = self.model.keys.get((user, "place", cmd.key))
        if known and expected in (PlacingGivenUp, CartChanged):
            expected = None  # nothing was reserved: the order stood already
        if expected:
            assert got is expected
            return
        assert isinstance(got, Outcome), got
        order = got.result
        if known:
            assert got.replayed
            assert order.order_sn == known[1]
            return
        assert order.user == user
        assert tuple((item.goods, item.nums) for item in order.items) == lines
        prices = {goods: self.world.shelf.goods[goods].price_fen for goods, _ in lines}
        self.model.placed(order.order_sn, user, lines, prices, self.price(lines), self.now_at(order))
        if cmd.lines is None:
            self.model.bought_from_cart(user, lines)
        if cmd.key:
            self.model.keys[user, "place", cmd.key] = (meaning(cmd), order.order_sn)

    def now_at(self, order: Order) -> int:
        """When it was placed: now."""
        assert order.created_ms == self.now_ms()
        return self.now_ms()

    async def with_hook(
        self, hook: Callable[[], Awaitable[None]], service: PlacingService, user: int, cmd: PlaceOrder
    ) -> Outcome[Order]:
        """Place, with something happening between the lease and the commit."""
        self.world.stock.after_reserve = hook
        try:
            return await service.place(buyer(user), cmd)
        finally:
            self.world.stock.after_reserve = None


def added_up(basket: list[tuple[int, int]]) -> Lines:
    """Equal goods in one line, in order of goods."""
    nums: dict[int, int] = {}
    for goods, n in basket:
        nums[goods] = nums.get(goods, 0) + n
    return tuple(sorted(nums.items()))


def meaning(cmd: PlaceOrder) -> object:
    """What two equal commands have in common."""
    return (cmd.lines, cmd.expected_fen)
