"""What should be true, in plain dicts: written from the contract, sharing no code with the service."""

from __future__ import annotations

from dataclasses import dataclass, field

PENDING, PAID, SHIPPED, COMPLETED, CANCELLED = 1, 2, 3, 4, 5
PAY_TIMEOUT_MS = 1_800_000
AUTO_CONFIRM_MS = 604_800_000
UNPAID_LIMIT = 3
FREIGHT_FEN, FREE_FREIGHT_FROM_FEN = 800, 4000
FAR_FEN = 1500  # for the dearest province, which is where an address without one is taken to be
Lines = tuple[tuple[int, int], ...]


@dataclass
class ModelPayment:
    """An attempt: open, paid, closed or refunded."""

    sn: str
    order_sn: str
    trade_type: str
    fen: int
    expire_ms: int
    state: str = "open"


@dataclass
class ModelOrder:
    """An order, and how many events it must have by now."""

    sn: str
    user: int
    lines: Lines
    fen: int
    expire_ms: int
    due_ms: int | None
    status: int = PENDING
    events: int = 1
    paid_by: str = ""
    parcel: str = ""
    cancel_code: str = ""
    cancel_words: str = ""
    refunds: dict[str, str] = field(default_factory=dict)  # by payment: approved, sent, succeeded, failed


@dataclass
class Model:
    """The shop as it should be."""

    carts: dict[int, dict[int, tuple[int, bool]]] = field(default_factory=dict)
    orders: dict[str, ModelOrder] = field(default_factory=dict)
    payments: dict[str, ModelPayment] = field(default_factory=dict)
    keys: dict[tuple[int, str, str], tuple[object, str]] = field(default_factory=dict)
    alerts: int = 0

    @staticmethod
    def freight(total_fen: int) -> int:
        """What sending goods costs, but for the province."""
        return 0 if total_fen >= FREE_FREIGHT_FROM_FEN else FREIGHT_FEN

    def cart(self, user: int) -> dict[int, tuple[int, bool]]:
        """Goods to (nums, checked)."""
        return self.carts.setdefault(user, {})

    def checked(self, user: int) -> Lines:
        """What a checkout buys."""
        return tuple((goods, nums) for goods, (nums, checked) in sorted(self.cart(user).items()) if checked)

    def unpaid(self, user: int) -> int:
        """How many orders wait for the user's money."""
        return sum(o.user == user and o.status == PENDING for o in self.orders.values())

    def placed(self, sn: str, user: int, lines: Lines, fen: int, now_ms: int) -> ModelOrder:
        """A new order."""
        assert sn not in self.orders, "a number was given twice"
        expire_ms = now_ms + PAY_TIMEOUT_MS
        self.orders[sn] = order = ModelOrder(sn, user, lines, fen, expire_ms, expire_ms)
        return order

    def bought_from_cart(self, user: int, lines: Lines) -> None:
        """The bought lines leave the cart."""
        for goods, _ in lines:
            del self.cart(user)[goods]

    def attempts(self, order: ModelOrder) -> list[ModelPayment]:
        """All attempts of an order."""
        return [p for p in self.payments.values() if p.order_sn == order.sn]

    def open_attempt(self, order: ModelOrder) -> ModelPayment | None:
        """The attempt that may still bring money."""
        found = [p for p in self.attempts(order) if p.state == "open"]
        assert len(found) <= 1
        return found[0] if found else None

    def opened(self, sn: str, order: ModelOrder, trade_type: str) -> None:
        """A new attempt."""
        assert sn not in self.payments
        self.payments[sn] = ModelPayment(sn, order.sn, trade_type, order.fen, order.expire_ms)
        order.events += 1

    def closed(self, payment: ModelPayment) -> None:
        """No money will come by this attempt, as far as anybody knows."""
        if payment.state == "open":
            payment.state = "closed"
            self.orders[payment.order_sn].events += 1

    def money(self, payment: ModelPayment) -> None:
        """The service hears that the buyer's money is there."""
        if payment.state in ("paid", "refunded"):
            return
        payment.state = "paid"
        order = self.orders[payment.order_sn]
        if order.status == PENDING:
            order.status, order.paid_by, order.due_ms = PAID, payment.sn, None
            order.events += 1
        else:
            order.refunds[payment.sn] = "approved"
            order.events += 2  # requested and approved

    def cancelled(self, order: ModelOrder, code: str, words: str = "") -> None:
        """Given up."""
        if order.status == PENDING:
            order.status, order.due_ms = CANCELLED, None
            order.cancel_code, order.cancel_words = code, words
            order.events += 1

    def shipped(self, order: ModelOrder, parcel: str, now_ms: int) -> None:
        """Sent."""
        if order.status == PAID:
            order.status, order.parcel, order.due_ms = SHIPPED, parcel, now_ms + AUTO_CONFIRM_MS
            order.events += 1

    def completed(self, order: ModelOrder) -> None:
        """Received."""
        if order.status == SHIPPED:
            order.status, order.due_ms = COMPLETED, None
            order.events += 1

    # ---- what everybody must be told ----

    def shown(self, order: ModelOrder) -> ModelPayment | None:
        """The attempt that paid it, else the newest whose money came too late, else the newest."""
        if order.paid_by:
            return self.payments[order.paid_by]
        attempts = self.attempts(order)
        had_money = [p for p in attempts if p.state in ("paid", "refunded")]
        newest = had_money or attempts
        return newest[-1] if newest else None

    @staticmethod
    def refund_status(order: ModelOrder) -> int:
        """0 none, 1 open, 2 whole: of late money, since here nobody asks for a refund of the order's own."""
        states = set(order.refunds.values()) if order.status == CANCELLED else set()
        return 0 if not states else 2 if states == {"succeeded"} else 1

    def money_totals(self, order: ModelOrder) -> tuple[int, int]:
        """What arrived, and what went back."""
        attempts = self.attempts(order)
        came = sum(p.fen for p in attempts if p.state in ("paid", "refunded"))
        return came, sum(p.fen for p in attempts if p.state == "refunded")

    def refund_round(self, payment: ModelPayment, provider_mode: str, *, given_back_before: bool) -> None:
        """The service asks the provider to give surplus money back."""
        order = self.orders[payment.order_sn]
        if order.refunds[payment.sn] == "approved":
            order.refunds[payment.sn] = "sent"
            order.events += 1
        if provider_mode in ("down", "mute"):
            return
        order.events += 1
        if provider_mode == "refuses" and not given_back_before:
            order.refunds[payment.sn] = "failed"
            self.alerts += 1
        else:
            order.refunds[payment.sn] = "succeeded"
            payment.state = "refunded"
