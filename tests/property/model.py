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
    """An attempt: open, paid or closed."""

    sn: str
    order_sn: str
    channel: int
    trade_type: str
    fen: int
    expire_ms: int
    state: str = "open"
    why_closed: str = ""  # if its channel said so
    back_fen: int = 0  # given back by the provider
    by_hand_fen: int = 0  # given back outside it

    @property
    def refunded_fen(self) -> int:
        """What the buyer has back."""
        return self.back_fen + self.by_hand_fen

    @property
    def told(self) -> str:
        """Its state, as the service says it."""
        if self.state != "paid" or not self.refunded_fen:
            return self.state
        return "refunded" if self.refunded_fen == self.fen else "part_refunded"


@dataclass
class ModelRefund:
    """A refund that somebody asked for."""

    sn: str
    order_sn: str
    kind: str
    lines: Lines
    fen: int
    freight_fen: int
    created_ms: int
    by: str  # BUYER or ADMIN
    words: str = ""
    state: str = "requested"
    approvals: int = 0
    approver: int = 0
    parcel: str = ""
    failure: str = ""
    numbers: list[str] = field(default_factory=list)  # under which it was sent

    @property
    def is_live(self) -> bool:
        """Neither rejected nor withdrawn."""
        return self.state not in ("rejected", "withdrawn")

    @property
    def is_decided(self) -> bool:
        """Approved."""
        return self.is_live and self.state != "requested"

    @property
    def is_done(self) -> bool:
        """The buyer has the money."""
        return self.state in ("succeeded", "settled")

    @property
    def gives_stock_back(self) -> bool:
        """Its goods are in the shop again."""
        if self.kind == "return":
            return self.state in ("returned", "sent", "failed", "succeeded", "settled")
        return bool(self.lines) and self.is_done


@dataclass
class ModelOrder:
    """An order, and how many events it must have by now."""

    sn: str
    user: int
    lines: Lines
    prices: dict[int, int]
    fen: int
    freight_fen: int
    expire_ms: int
    due_ms: int | None
    status: int = PENDING
    events: int = 1
    paid_by: str = ""
    parcel: str = ""
    cancel_code: str = ""
    cancel_words: str = ""
    completed_ms: int = 0
    refunds: dict[str, str] = field(default_factory=dict)  # by surplus payment: approved, sent, …
    late: set[str] = field(default_factory=set)  # those of them that came after the order was cancelled
    asked: dict[str, ModelRefund] = field(default_factory=dict)

    @property
    def goods_fen(self) -> int:
        """Without freight."""
        return self.fen - self.freight_fen

    def live(self) -> list[ModelRefund]:
        """What is asked for, approved or refunded."""
        return [refund for refund in self.asked.values() if refund.is_live]

    def decided(self) -> list[ModelRefund]:
        """What was approved."""
        return [refund for refund in self.asked.values() if refund.is_decided]


@dataclass
class ModelWallet:
    """The wallet as it should be: every command is executed once, whatever happens to messages."""

    balances: dict[int, int]
    debits: dict[str, tuple[int, int, str]] = field(default_factory=dict)  # user, fen, why refused
    refunds: dict[str, tuple[str, int]] = field(default_factory=dict)  # by number: payment, fen

    def debited(self, sn: str, user: int, fen: int, *, is_late: bool) -> None:
        """A debit was requested."""
        if sn not in self.debits:
            why = "EXPIRED" if is_late else "INSUFFICIENT_BALANCE" if self.balances[user] < fen else ""
            self.balances[user] -= 0 if why else fen
            self.debits[sn] = (user, fen, why)

    def refunded(self, number: str, sn: str, fen: int) -> None:
        """A refund was requested."""
        if number not in self.refunds:
            self.refunds[number] = (sn, fen)
            self.balances[self.debits[sn][0]] += fen


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

    def placed(
        self, sn: str, user: int, lines: Lines, prices: dict[int, int], fen: int, now_ms: int
    ) -> ModelOrder:
        """A new order."""
        assert sn not in self.orders, "a number was given twice"
        expire_ms = now_ms + PAY_TIMEOUT_MS
        freight_fen = fen - sum(prices[goods] * nums for goods, nums in lines)
        self.orders[sn] = order = ModelOrder(sn, user, lines, prices, fen, freight_fen, expire_ms, expire_ms)
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

    def opened(self, sn: str, order: ModelOrder, channel: int, trade_type: str) -> None:
        """A new attempt."""
        assert sn not in self.payments
        self.payments[sn] = ModelPayment(sn, order.sn, channel, trade_type, order.fen, order.expire_ms)
        order.events += 1

    def closed(self, payment: ModelPayment) -> None:
        """No money will come by this attempt, as far as anybody knows."""
        if payment.state == "open":
            payment.state = "closed"
            self.orders[payment.order_sn].events += 1

    def rejected(self, payment: ModelPayment, why: str) -> None:
        """The wallet says that it takes no money for this attempt, and why."""
        if payment.state == "open" or (payment.state == "closed" and not payment.why_closed):
            payment.state, payment.why_closed = "closed", why
            self.orders[payment.order_sn].events += 1

    def money(self, payment: ModelPayment) -> None:
        """The service hears that the buyer's money is there."""
        if payment.state == "paid":
            return
        payment.state = "paid"
        order = self.orders[payment.order_sn]
        if order.status == PENDING:
            order.status, order.paid_by, order.due_ms = PAID, payment.sn, None
            order.events += 1
        else:
            order.refunds[payment.sn] = "approved"
            if order.status == CANCELLED:
                order.late.add(payment.sn)
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

    def completed(self, order: ModelOrder, now_ms: int) -> None:
        """Received."""
        if order.status == SHIPPED:
            order.status, order.due_ms, order.completed_ms = COMPLETED, None, now_ms
            order.events += 1

    # ---- what everybody must be told ----

    def shown(self, order: ModelOrder) -> ModelPayment | None:
        """The attempt that paid it, else the newest whose money came too late, else the newest."""
        if order.paid_by:
            return self.payments[order.paid_by]
        attempts = self.attempts(order)
        had_money = [p for p in attempts if p.state == "paid"]
        newest = had_money or attempts
        return newest[-1] if newest else None

    @staticmethod
    def refund_status(order: ModelOrder) -> int:
        """0 none, 1 open, 2 whole, 3 part; a duplicate payment's does not count, a late one's does."""
        late = [order.refunds[sn] for sn in order.late]
        own = order.live()
        if any(state != "succeeded" for state in late) or any(not refund.is_done for refund in own):
            return 1
        back_fen = sum(refund.fen for refund in own) + order.fen * len(late)
        return 0 if not back_fen else 2 if back_fen >= order.fen else 3

    def money_totals(self, order: ModelOrder) -> tuple[int, int]:
        """What arrived, and what went back."""
        attempts = self.attempts(order)
        came = sum(p.fen for p in attempts if p.state == "paid")
        return came, sum(p.refunded_fen for p in attempts)

    def refund_round(self, payment: ModelPayment, end: str) -> None:
        """The service asks the provider to give surplus money back; `end` is empty without an answer."""
        order = self.orders[payment.order_sn]
        if order.refunds[payment.sn] == "approved":
            order.refunds[payment.sn] = "sent"
            order.events += 1
        if not end:
            return
        order.events += 1
        if end == "succeeded":
            payment.back_fen = payment.fen
            order.refunds[payment.sn] = "succeeded"
        else:
            order.refunds[payment.sn] = "failed"
            self.alerts += 1

    def given_back(self, payment: ModelPayment, number: str) -> None:
        """The wallet says that the buyer has the money of the refund that was sent under this number."""
        order = self.orders[payment.order_sn]
        asked = [refund for refund in order.asked.values() if number in refund.numbers]
        if asked and not asked[0].is_done:
            self.refunded(asked[0])
        elif not asked and order.refunds[payment.sn] != "succeeded":
            self.refund_round(payment, "succeeded")

    # ---- refunds that somebody asked for ----

    @staticmethod
    def pieces_left(order: ModelOrder, *, decided: bool = False) -> dict[int, int]:
        """By goods what no live (or approved) refund takes."""
        left = dict(order.lines)
        for refund in order.decided() if decided else order.live():
            for goods, nums in refund.lines:
                left[goods] -= nums
        return left

    def most(self, order: ModelOrder, lines: Lines) -> tuple[int, int]:
        """The most that a new refund may take, and the freight in it."""
        live = order.live()
        goods_fen = order.goods_fen - sum(r.fen - r.freight_fen for r in live)
        freight_fen = order.freight_fen - sum(r.freight_fen for r in live)
        if order.status == PAID and (not lines or self.leaves_nothing(order, lines)):
            return max(goods_fen, 0) + freight_fen, freight_fen
        if lines:
            goods_fen = min(goods_fen, sum(order.prices[goods] * nums for goods, nums in lines))
        return max(goods_fen, 0), 0

    def leaves_nothing(self, order: ModelOrder, lines: Lines) -> bool:
        """Whether with these lines and all approved refunds no piece is left to send."""
        left = self.pieces_left(order, decided=True)
        for goods, nums in lines:
            left[goods] -= nums
        return not any(nums > 0 for nums in left.values())

    def approved_fen(
        self, order: ModelOrder, refund: ModelRefund, freight_fen: int
    ) -> tuple[int, int] | None:
        """Amount and freight of a refund that is approved now; None if so much is not left."""
        left_fen = order.fen - sum(r.fen for r in order.decided())
        left_freight_fen = order.freight_fen - sum(r.freight_fen for r in order.decided())
        if left_fen <= 0:
            return None
        if order.status == PAID and refund.lines and self.leaves_nothing(order, refund.lines):
            return left_fen, left_freight_fen
        wanted_fen = max(freight_fen, refund.freight_fen)
        if freight_fen > left_freight_fen or (refund.lines and wanted_fen > left_freight_fen):
            return None
        amount_fen = refund.fen - refund.freight_fen + wanted_fen
        return None if amount_fen > left_fen else (amount_fen, min(wanted_fen, left_freight_fen))

    def refunded(self, refund: ModelRefund, *, by_hand: bool = False) -> None:
        """The buyer has the money."""
        order = self.orders[refund.order_sn]
        payment = self.payments[order.paid_by]
        refund.state = "settled" if by_hand else "succeeded"
        if by_hand:
            payment.by_hand_fen += refund.fen
        else:
            payment.back_fen += refund.fen
        order.events += 1
        done_fen = sum(r.fen for r in order.asked.values() if r.is_done)
        if order.status == PAID and done_fen >= order.fen:
            for other in order.asked.values():
                if other.state == "requested":
                    other.state = "rejected"
                    order.events += 1
            order.status, order.due_ms = CANCELLED, None
            order.cancel_code, order.cancel_words = refund.by, refund.words
            order.events += 1
