"""Rules: attempts, the provider's notices in every order, and what buyers and operators do with orders."""

from __future__ import annotations

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from shop_order.domain.errors import (
    AmountMismatch,
    DependencyDown,
    Forbidden,
    IllegalTransition,
    InvalidArgument,
    KeyReused,
    OrderNotFound,
    OrderServiceError,
    PayWindowClosed,
    RefundOpen,
    SignatureInvalid,
    UseRefund,
)
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.parties import Actor
from shop_order.service.pay import PayOrder
from tests.property.buying import Buying
from tests.property.model import CANCELLED, COMPLETED, PAID, PENDING, SHIPPED, ModelOrder, ModelPayment
from tests.property.stage import ADMIN, USERS, buyer

Refusal = type[OrderServiceError]
picks = st.integers(0, 15)
any_orders = precondition(lambda self: bool(self.model.orders))
any_payments = precondition(lambda self: bool(self.at_provider()))
any_notices = precondition(lambda self: bool(self.notices))
mostly = st.sampled_from([True, True, False])
A, W, B = PaymentType.ALIPAY, PaymentType.WECHAT, PaymentType.BALANCE
Way = tuple[PaymentType, str]
ways = st.sampled_from([(A, "page"), (A, "page"), (A, "wap"), (W, "native"), (W, "native"), (B, "")])


class Paying(Buying):
    """Payments, notices, and the moves of an order."""

    invalid = InvalidArgument

    @any_orders
    @rule(
        at=picks,
        way=ways,
        key=st.sampled_from(["", "", "p1", "p2"]),
        stranger=st.sampled_from([False, False, False, True]),
    )
    def pay(self, at: int, way: Way, key: str, stranger: bool) -> None:
        order = self.pick_order(at, PENDING)
        if order is None:
            return
        self.open_attempt(order, 15 - order.user if stranger else order.user, way, key)

    def open_attempt(self, order: ModelOrder, user: int, way: Way, key: str) -> None:
        """Through the service, and in the model."""
        command = (order.sn, way)
        expected = self.expected_attempt(order, user, way, key, command)
        cmd = PayOrder(order.sn, *way, key=key)
        got = self.attempt(self.world.payments.pay(buyer(user), cmd))
        if isinstance(expected, type):
            assert got is expected
            return
        assert not isinstance(got, type), got
        sn = got.result.payment.payment_sn
        if expected:
            assert sn == expected
        else:
            self.model.opened(sn, order, *way)
        if key:
            self.model.keys[user, "pay", key] = (command, sn)

    @any_orders
    @rule(at=picks, way=ways, notice=mostly, deliver=mostly)
    def open_an_attempt_and_pay(self, at: int, way: Way, notice: bool, deliver: bool) -> None:
        order = self.pick_order(at, PENDING)
        assert order
        self.open_attempt(order, order.user, way, "")
        attempt = self.model.open_attempt(order)
        if attempt and self.pays(attempt) and notice:
            self.provider_sends(attempt, deliver=deliver)

    @rule(user=st.sampled_from(USERS), goods=st.sampled_from([1, 3]), parcel=st.booleans())
    def buy_without_trouble(self, user: int, goods: int, parcel: bool) -> None:
        self.place_list(user, [(goods, 1)], "", False)
        order = list(self.model.orders.values())[-1] if self.model.orders else None
        if order is None or order.status != PENDING:
            return
        self.open_attempt(order, order.user, (A, "page"), "")
        attempt = self.model.open_attempt(order)
        if attempt and self.pays(attempt):
            self.provider_sends(attempt, deliver=True)
            if parcel:
                self.check_move(
                    self.attempt(self.world.orders.ship(ADMIN, order.sn, "顺丰", "N0")),
                    self.expected_ship(order, "N0"),
                )

    def expected_attempt(
        self, order: ModelOrder, user: int, way: Way, key: str, command: object
    ) -> Refusal | str:
        """The refusal, the attempt that is used again, or empty for a new one; tells the model on the way."""
        if known := self.model.keys.get((user, "pay", key)):
            return known[1] if known[0] == command else KeyReused
        if order.user != user:
            return OrderNotFound
        for _ in range(2):
            if order.status != PENDING:
                return IllegalTransition
            if order.expire_ms - self.now_ms() < 90_000:
                return PayWindowClosed
            earlier = self.model.open_attempt(order)
            if earlier is None:
                return ""
            if (earlier.channel, earlier.trade_type) == way:
                return earlier.sn
            if earlier.channel == B:
                self.model.closed(earlier)  # its money may come all the same
                continue
            if self.world.provider.mode in ("down", "mute"):
                return DependencyDown
            self.model_close(earlier)
        raise AssertionError("an attempt that was closed is still open")

    def model_close(self, payment: ModelPayment) -> None:
        """The service tells a provider that answers to take no money."""
        if self.world.provider.ledger[payment.sn].state == "paid":
            self.model.money(payment)
        else:
            self.model.closed(payment)

    # ---- the buyer at the provider ----

    @any_payments
    @rule(at=picks)
    def buyer_opens_the_cashier(self, at: int) -> None:
        if payment := self.pick(self.at_provider(), at):
            self.world.provider.scan(payment.sn)

    @any_payments
    @rule(at=picks, notice=st.booleans(), then_notice=st.booleans())
    def buyer_pays(self, at: int, notice: bool, then_notice: bool) -> None:
        payment = self.pick(self.at_provider(), at)
        if payment and self.pays(payment) and notice:
            self.provider_sends(payment, deliver=then_notice)

    @any_payments
    @rule(at=picks, deliver=st.booleans())
    def provider_makes_a_notice(self, at: int, deliver: bool) -> None:
        if payment := self.pick(self.at_provider(), at):
            self.provider_sends(payment, deliver=deliver)

    @any_notices
    @rule(at=st.integers(0, 30))
    def an_old_notice_arrives(self, at: int) -> None:
        if found := self.pick(self.notices, at):
            self.deliver(*found)

    def provider_sends(self, payment: ModelPayment, *, deliver: bool) -> None:
        """A notice of the trade as it is now; one that is not delivered may come later."""
        state = self.world.provider.ledger[payment.sn].state
        self.notices.append((payment.sn, state, self.world.provider.notice(payment.sn)))
        if deliver:
            self.deliver(*self.notices[-1])

    def deliver(self, payment_sn: str, state: str, body: bytes) -> None:
        """It arrives, and is believed."""
        payment = self.model.payments[payment_sn]
        if state == "paid":
            self.model.money(payment)
        elif state == "closed":
            self.model.closed(payment)
        self.run(self.world.payments.provider_notice(PaymentType(payment.channel), body, {}))

    @any_payments
    @rule(at=picks, how=st.sampled_from(["amount", "seal", "refund", "stranger"]))
    def a_notice_that_must_change_nothing(self, at: int, how: str) -> None:
        ledger = self.world.provider.ledger
        paid = [p for p in self.at_provider() if ledger[p.sn].state == "paid"]
        unheard = [p for p in paid if p.state in ("open", "closed")]
        payment = self.pick(unheard or paid, at)
        if payment is None:
            return
        make = self.world.provider.notice
        refusal: Refusal | None = AmountMismatch
        if how == "amount":
            body = make(payment.sn, more_fen=-1)
        elif how == "seal":
            body, refusal = make(payment.sn, seal="forged"), SignatureInvalid
        elif how == "refund":
            body, refusal = make(payment.sn, is_refund=True), None
        else:
            body = make(payment.sn).replace(payment.sn.encode(), b"P" + b"0" * 27)
        channel = PaymentType(payment.channel)
        self.check_move(self.attempt(self.world.payments.provider_notice(channel, body, {})), refusal)
        self.model.alerts += refusal is AmountMismatch

    # ---- moves of the order ----

    @any_orders
    @rule(at=picks, who=st.sampled_from(["owner", "owner", "admin", "stranger"]))
    def cancel(self, at: int, who: str) -> None:
        if order := self.pick_order(at, PENDING):
            got = self.attempt(self.world.orders.cancel(self.actor(who, order), order.sn, "不要了"))
            self.check_move(got, self.expected_cancel(order, who, "不要了"))

    @any_orders
    @rule(at=picks, again=st.booleans())
    def ship(self, at: int, again: bool) -> None:
        order = self.pick_order(at, PAID)
        if order is None:
            return
        parcel = order.parcel if again and order.parcel else f"N{next(self.parcels)}"
        expected = self.expected_ship(order, parcel)
        self.check_move(self.attempt(self.world.orders.ship(ADMIN, order.sn, "顺丰", parcel)), expected)

    @any_orders
    @rule(at=picks, who=st.sampled_from(["owner", "owner", "stranger"]))
    def confirm(self, at: int, who: str) -> None:
        if order := self.pick_order(at, SHIPPED):
            got = self.attempt(self.world.orders.confirm(self.actor(who, order), order.sn))
            self.check_move(got, self.expected_confirm(order, who))

    @any_orders
    @rule(
        at=picks, to=st.sampled_from(list(OrderStatus)), who=st.sampled_from(["owner", "admin", "stranger"])
    )
    def update_status(self, at: int, to: OrderStatus, who: str) -> None:
        order = self.pick_order(at, PAID)
        if order is None:
            return
        parcel, actor = f"N{next(self.parcels)}", self.actor(who, order)
        got = self.attempt(self.world.orders.update_status(actor, order.sn, to, logistics=("顺丰", parcel)))
        if to is OrderStatus.CANCELLED:
            self.check_move(got, self.expected_cancel(order, who, refunds=False))
        elif to is OrderStatus.SHIPPED:
            self.check_move(got, self.expected_ship(order, parcel) if who == "admin" else Forbidden)
        elif to is OrderStatus.COMPLETED:
            self.check_move(got, Forbidden if who == "admin" else self.expected_confirm(order, who))
        else:
            self.check_move(got, OrderNotFound if who == "stranger" else IllegalTransition)

    @any_payments
    @rule(at=picks, notice_first=st.booleans())
    def money_and_cancel_at_once(self, at: int, notice_first: bool) -> None:
        payment = self.pick(self.at_provider(), at)
        if payment is None or not self.pays(payment):
            return
        order = self.model.orders[payment.order_sn]
        before = order.status
        body = self.world.provider.notice(payment.sn)

        async def both() -> list[object]:
            told = self.world.payments.provider_notice(PaymentType(payment.channel), body, {})
            cancelled = self.world.orders.cancel(buyer(order.user), order.sn)
            two = (told, cancelled) if notice_first else (cancelled, told)
            return await asyncio.gather(*two, return_exceptions=True)

        got = self.run(both())
        told, cancelled = got if notice_first else reversed(got)
        assert not isinstance(told, BaseException), "a notice is never refused because of a race"
        now = self.rows("SELECT status FROM order_info WHERE order_sn = ?", order.sn)[0][0]
        if before == PENDING and now == CANCELLED:
            self.model.cancelled(order, "BUYER")
        self.model.money(payment)
        if order.status == PAID:
            assert isinstance(cancelled, UseRefund)

    # ---- what the contract says of each move ----

    def actor(self, who: str, order: ModelOrder) -> Actor:
        """The owner, an admin, or another buyer."""
        return {"admin": ADMIN, "owner": buyer(order.user), "stranger": buyer(15 - order.user)}[who]

    def check_move(self, got: object, expected: Refusal | None) -> None:
        """The refusal that was expected, or none."""
        assert (got if isinstance(got, type) else None) is expected

    def expected_refund_of_all(self, order: ModelOrder, words: str) -> Refusal | None:
        """An admin cancels a paid order; overridden by the rules of refunds."""
        raise NotImplementedError

    def expected_cancel(
        self, order: ModelOrder, who: str, words: str = "", *, refunds: bool = True
    ) -> Refusal | None:
        if who == "stranger":
            return OrderNotFound
        if order.status == PAID and who == "admin" and refunds:
            return self.expected_refund_of_all(order, words)
        if order.status == PAID:
            return UseRefund
        if order.status in (SHIPPED, COMPLETED):
            return IllegalTransition
        self.model.cancelled(order, "ADMIN" if who == "admin" else "BUYER", words)
        return None

    def expected_ship(self, order: ModelOrder, parcel: str) -> Refusal | None:
        if order.status in (SHIPPED, COMPLETED) and order.parcel == parcel:
            return None
        if order.status != PAID:
            return IllegalTransition
        if self.model.refund_status(order) == 1:
            return RefundOpen
        self.model.shipped(order, parcel, self.now_ms())
        return None

    def expected_confirm(self, order: ModelOrder, who: str) -> Refusal | None:
        if who == "stranger":
            return OrderNotFound
        if order.status not in (SHIPPED, COMPLETED):
            return IllegalTransition
        if self.model.refund_status(order) == 1 and order.status == SHIPPED:
            return RefundOpen
        self.model.completed(order, self.now_ms())
        return None
