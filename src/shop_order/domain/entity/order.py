"""The order: the aggregate of its items, money and history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from shop_order.domain.entity.money import Money
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund, surplus_refund
from shop_order.domain.errors import (
    IllegalTransition,
    PayWindowClosed,
    PriceChanged,
    RefundOpen,
    UseRefund,
)
from shop_order.domain.event import order_events as events
from shop_order.domain.event.order_events import GENESIS, NewEvent
from shop_order.domain.status import (
    ORDER_TRANSITIONS,
    SHIPPED_ORDER,
    OrderStatus,
    PaymentType,
    RefundState,
    RefundStatus,
    advance,
)
from shop_order.domain.valueobject.item import NO_FREIGHT, Goods, Line, OrderItem, Pricing, order_items
from shop_order.domain.valueobject.parties import SYSTEM, Actor, PostalAddress
from shop_order.domain.valueobject.text import plain_text

PAY_WINDOW_MS = 90_000  # with less time left, a buyer sent to the provider would pay too late


@dataclass(slots=True)
class Order:
    """One purchase. Amounts in fen, times in epoch ms (0: not yet).

    Every change checks the table of transitions and records an event. `version` counts the events; a store
    writes an order only if its version is still the one that was read.
    """

    id: int
    order_sn: str
    user: int
    status: OrderStatus
    address: PostalAddress
    items: tuple[OrderItem, ...]
    note: str
    total_fen: int
    discount_fen: int
    freight_fen: int
    pay_fen: int
    pay_type: PaymentType
    created_ms: int
    updated_ms: int
    expire_ms: int
    trade_no: str = ""
    pay_ms: int = 0
    payment_sn: str = ""
    cancel_reason: str = ""  # the reason that was given, if any
    cancel_code: str = ""  # BUYER, ADMIN or TIMEOUT, as in the history
    logistics_company: str = ""
    logistics_no: str = ""
    shipped_ms: int = 0
    completed_ms: int = 0
    return_url: str = ""  # the shop's page the cashier links to once the order is paid
    cancel_url: str = ""  # and otherwise
    due_ms: int | None = None  # when it times out: unpaid to cancelled, shipped to completed
    salt: str = ""  # of the hashes of personal texts in its history; erased together with them
    version: int = 0
    last_hash: bytes = GENESIS
    money: Money = field(default_factory=Money)
    new_events: list[NewEvent] = field(default_factory=list)

    @classmethod
    def place(
        cls,
        lines: Sequence[Line],
        goods: Mapping[int, Goods],
        *,
        order_sn: str,
        actor: Actor,
        address: PostalAddress,
        note: str,
        pay_type: PaymentType,
        now_ms: int,
        pay_timeout_ms: int,
        next_id: Callable[[], int],
        salt: str,
        expected_fen: int | None = None,
        pricing: Pricing = NO_FREIGHT,
        return_url: str = "",
        cancel_url: str = "",
    ) -> Order:
        """Return a pending order of these lines at today's prices; `salt` is 16 random bytes in hex.

        Raises EmptyOrder, GoodsUnavailable, PriceChanged, InvalidArgument (note, or the total is too large).
        """
        items = order_items(lines, goods, next_id)
        sums = pricing.amounts(sum(item.total_fen for item in items), address.province)
        if expected_fen is not None and expected_fen != sums.pay_fen:
            prices_fen = {i.goods: i.price_fen for i in items}
            raise PriceChanged(expected_fen, sums.pay_fen, prices_fen, freight_fen=sums.freight_fen)
        order = cls(
            id=next_id(),
            order_sn=order_sn,
            user=actor.user_id,
            status=OrderStatus.PENDING,
            address=address,
            items=items,
            note=plain_text("note", note, max_length=255),
            total_fen=sums.total_fen,
            discount_fen=sums.discount_fen,
            freight_fen=sums.freight_fen,
            pay_fen=sums.pay_fen,
            pay_type=pay_type,
            created_ms=now_ms,
            updated_ms=now_ms,
            expire_ms=now_ms + pay_timeout_ms,
            due_ms=now_ms + pay_timeout_ms,
            return_url=return_url,
            cancel_url=cancel_url,
            salt=salt,
        )
        order._record(events.ORDER_CREATED, actor, now_ms, order._placed(), old_status=0)
        return order

    # ---- transitions ----

    def pay(self, payment: Payment, actor: Actor, now_ms: int) -> None:
        """Mark the order as paid by `payment`. Raises IllegalTransition."""
        old = self._advance(OrderStatus.PAID)
        self.pay_type, self.payment_sn = payment.payment_type, payment.payment_sn
        self.trade_no, self.pay_ms, self.due_ms = payment.trade_no, payment.paid_ms, None
        data: dict[str, object] = {"payment_sn": payment.payment_sn, "pay_fen": payment.amount_fen}
        self._record(events.ORDER_PAID, actor, now_ms, data | payment.receipt_data(), old_status=old)

    def ship(self, company: str, no: str, actor: Actor, now_ms: int, *, auto_confirm_ms: int) -> None:
        """Record the parcel; `auto_confirm_ms` later the order completes automatically. Idempotent.

        Raises IllegalTransition, RefundOpen, InvalidArgument.
        """
        plain_text("logistics_company", company, max_length=50, required=True)
        plain_text("logistics_no", no, max_length=64, required=True)
        if (self.logistics_company, self.logistics_no) == (company, no):
            return
        self._refuse_open_refund(OrderStatus.SHIPPED)
        old = self._advance(OrderStatus.SHIPPED)
        self.logistics_company, self.logistics_no, self.shipped_ms = company, no, now_ms
        self.due_ms = now_ms + auto_confirm_ms
        data = {"logistics_company": company, "logistics_no": no, "due_at_ms": self.due_ms}
        self._record(events.ORDER_SHIPPED, actor, now_ms, data, old_status=old)

    def complete(self, actor: Actor, now_ms: int) -> None:
        """Complete a shipped order: received by its buyer, or timed out. Idempotent.

        Raises IllegalTransition, RefundOpen.
        """
        if self.status is OrderStatus.COMPLETED:
            return
        self._refuse_open_refund(OrderStatus.COMPLETED)
        old = self._advance(OrderStatus.COMPLETED)
        self.completed_ms, self.due_ms = now_ms, None
        self._record(events.ORDER_COMPLETED, actor, now_ms, {}, old_status=old)

    def cancel(self, reason: str, actor: Actor, now_ms: int, *, code: str) -> None:
        """Cancel an unpaid order. Idempotent. The history records `code`, not `reason`.

        Raises UseRefund, IllegalTransition, InvalidArgument.
        """
        plain_text("reason", reason, max_length=255)
        if self.status is OrderStatus.CANCELLED:
            return
        if self.status is OrderStatus.PAID:
            raise UseRefund
        self._cancel(reason, code, actor, now_ms)

    # ---- payments and refunds ----

    def may_pay(self, now_ms: int) -> bool:
        """Whether it is unpaid with at least 90 s left."""
        return self.status is OrderStatus.PENDING and self.expire_ms - now_ms >= PAY_WINDOW_MS

    def require_payable(self, now_ms: int) -> None:
        """Raise IllegalTransition unless unpaid, PayWindowClosed with less than 90 s left."""
        if self.status is not OrderStatus.PENDING:
            raise IllegalTransition(self.status.name, OrderStatus.PAID.name)
        if not self.may_pay(now_ms):
            raise PayWindowClosed

    def open_attempt(self, payment: Payment, actor: Actor, now_ms: int) -> None:
        """Add a payment attempt. An earlier open one must be closed first; a closed one is not reopened.

        Raises IllegalTransition, PayWindowClosed.
        """
        self.require_payable(now_ms)
        self.money.open(payment)
        self.pay_type = payment.payment_type
        self._record(events.PAYMENT_OPENED, actor, now_ms, payment.opening_data())

    def close_attempt(self, payment_sn: str, actor: Actor, now_ms: int, *, reason: str = "") -> None:
        """Close an attempt that the provider will take no money for. Idempotent; a paid one stays paid.

        `reason` is the channel's code if it refused the payment; also noted if the attempt was closed before.
        """
        if payment := self.money.close(payment_sn, reason):
            self._record(events.PAYMENT_CLOSED, actor, now_ms, payment.event_data(), reason=reason)

    def shipping_told(self, payment_sn: str, now_ms: int) -> None:
        """Record that the provider of a payment was told of the shipping, if it waits for that."""
        payment = self.payments[payment_sn]
        if self.status in SHIPPED_ORDER and payment.awaits_shipping:
            self._record(events.PAYMENT_SHIPPING_TOLD, SYSTEM, now_ms, payment.event_data())

    def receive_payment(
        self, payment_sn: str, *, trade_no: str, amount_fen: int, paid_ms: int, now_ms: int, refund_sn: str
    ) -> None:
        """Pay the order with the money the provider received, or refund it as `refund_sn` if it is surplus.

        Idempotent. Raises AmountMismatch.
        """
        payment = self.money.receive(payment_sn, trade_no=trade_no, amount_fen=amount_fen, paid_ms=paid_ms)
        if payment is None:
            return
        if self.status is OrderStatus.PENDING:
            self.pay(payment, SYSTEM, now_ms)
            return
        late = self.status is OrderStatus.CANCELLED
        reason = events.LATE_PAYMENT if late else events.DUPLICATE_PAYMENT
        refund = self.money.add(surplus_refund(refund_sn, payment, reason, now_ms))
        self.record_refund(events.REFUND_REQUESTED, refund, SYSTEM, now_ms)
        approved = self.money.move(refund_sn, RefundState.APPROVED)
        self.record_refund(events.REFUND_APPROVED, approved, SYSTEM, now_ms)

    def record_refund(self, type: str, refund: Refund, actor: Actor, now_ms: int) -> None:
        """Record an event of a refund; for `after_sales`."""
        receipt = self.payments[refund.payment_sn].receipt_data()
        data = refund.event_data() | receipt | self._hash_of(refund.reason, refund.decision)
        self._record(type, actor, now_ms, data, reason=refund.code)

    def cancel_refunded(self, reason: str, code: str, now_ms: int) -> None:
        """Cancel a paid order whose money was all refunded; for `after_sales`. Raises IllegalTransition."""
        self._cancel(reason, code, SYSTEM, now_ms)

    # ---- state as callers see it ----

    @property
    def payments(self) -> dict[str, Payment]:
        """Its attempts by number."""
        return self.money.payments

    @property
    def refunds(self) -> dict[str, Refund]:
        """Its refunds by number."""
        return self.money.refunds

    @property
    def refund_status(self) -> RefundStatus:
        """How much of the order's money was refunded; refunds of duplicate payments do not count."""
        return self.money.refund_status(self.pay_fen)

    @property
    def shown_cancel_reason(self) -> str:
        """The reason that was given, otherwise the code; empty unless it is cancelled."""
        return self.cancel_reason or self.cancel_code

    @property
    def is_finished(self) -> bool:
        """Whether its status allows no further transition."""
        return not ORDER_TRANSITIONS[self.status]

    @property
    def is_settled(self) -> bool:
        """Whether it is finished, with no open attempt and no refund that is open or failed."""
        return self.is_finished and self.money.is_settled

    def attempts_to_query(self) -> list[Payment]:
        """The attempts to ask the provider about, newest first, at most 5."""
        return self.money.attempts_to_query(unpaid=self.status is OrderStatus.PENDING)

    def shown_payment(self) -> Payment | None:
        """The attempt that paid the order, else one paid too late, else the latest."""
        return self.payments[self.payment_sn] if self.payment_sn else self.money.latest()

    # ---- inside the aggregate ----

    def _placed(self) -> dict[str, object]:
        items = sorted(self.items, key=attrgetter("goods"))
        pages = (self.return_url, self.cancel_url)
        data: dict[str, object] = {
            "order_id": self.id,
            "lines": [{"goods_id": i.goods, "nums": i.nums, "price_fen": i.price_fen} for i in self.items],
            "total_fen": self.total_fen,
            "discount_fen": self.discount_fen,
            "freight_fen": self.freight_fen,
            "pay_fen": self.pay_fen,
            "expire_at_ms": self.expire_ms,
            "payment_type": int(self.pay_type),
            "goods_hash": events.text_hash([text for i in items for text in (i.goods_name, i.goods_image)]),
        }
        if any(pages):
            data["pages_hash"] = events.text_hash(pages)
        return data | self._hash_of(*self.address.texts, self.note)

    def _hash_of(self, *texts: str) -> dict[str, object]:
        """The hash of personal or free texts, for an event; none without a salt, as in orders from before."""
        return {"texts_hash": events.text_hash(texts, self.salt)} if self.salt else {}

    def _cancel(self, reason: str, code: str, actor: Actor, now_ms: int) -> None:
        old = self._advance(OrderStatus.CANCELLED)
        self.cancel_reason, self.cancel_code, self.due_ms = reason, code, None
        self._record(
            events.ORDER_CANCELLED, actor, now_ms, self._hash_of(reason), old_status=old, reason=code
        )

    def _advance(self, to: OrderStatus) -> OrderStatus:
        old = self.status
        self.status = advance(ORDER_TRANSITIONS, old, to)
        return old

    def _refuse_open_refund(self, to: OrderStatus) -> None:
        advance(ORDER_TRANSITIONS, self.status, to)  # an illegal transition is reported as such
        if self.refund_status is RefundStatus.OPEN:
            raise RefundOpen

    def _record(
        self,
        type: str,
        actor: Actor,
        now_ms: int,
        data: dict[str, object],
        *,
        old_status: int | None = None,
        reason: str = "",
    ) -> None:
        self.version += 1
        self.updated_ms = now_ms
        data |= {
            "version": self.version,
            "user_id": self.user,
            "old_status": int(self.status if old_status is None else old_status),
            "new_status": int(self.status),
            "operator": actor.operator,
            "operator_id": actor.user_id,
            "reason": reason,
        }
        self.new_events.append(NewEvent(self.version, type, events.payload(data), now_ms))
