"""Rules: time, background jobs, neighbours that fail, and crashes; and how every story ends."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from shop_order.domain.errors import DependencyDown
from shop_order.domain.ports import OrderFilter
from shop_order.domain.status import OrderStatus, PaymentType
from tests.property.model import PENDING, SHIPPED, ModelPayment, ModelRefund
from tests.property.reading import Reading
from tests.property.stage import GRACE_MS, USERS, buyer
from tests.world.provider import Mode

MOST_ASKED = 5
STUCK_TRIES = 5
STUCK_MS = 600_000
FAILURES = {
    "refused": "REFUSED",
    "closed": "CLOSED",
    "abnormal": "ABNORMAL",
    "too_late": "REFUND_TOO_LATE",
}


class Running(Reading):
    """The shop's clockwork."""

    # ---- time ----

    @rule(seconds=st.sampled_from([30, 60, 600, 1715, 1800, 604_800]))
    def the_shop_clock_moves(self, seconds: int) -> None:
        before_ms = self.now_ms()
        assert self.run(self.world.clock.advance(seconds)) == before_ms + seconds * 1000

    @rule(seconds=st.sampled_from([1, 61]))
    def real_time_passes(self, seconds: int) -> None:
        self.world.real_ms += seconds * 1000

    @rule()
    def crash_and_restart(self) -> None:
        now_ms = self.now_ms()
        self.run(self.world.restart())
        assert self.now_ms() == now_ms, "the test clock survives"

    # ---- looking ----

    @rule(user=st.sampled_from(USERS), status=st.sampled_from([None, *OrderStatus]))
    def look_around(self, user: int, status: OrderStatus | None) -> None:
        page = self.run(self.world.orders.list(buyer(user), OrderFilter(status=status), page_size=100))
        wanted = {o.sn for o in self.model.orders.values() if o.user == user and status in (None, o.status)}
        assert {order.order_sn for order in page.orders} == wanted
        assert len(page.orders) == page.total == len(wanted)
        ages = [(order.created_ms, order.id) for order in page.orders]
        assert ages == sorted(ages, reverse=True)
        cart, stocks, shelf = self.model.cart(user), self.stocks(), self.world.shelf.goods
        fit = {g for g, (nums, _) in cart.items() if shelf[g].on_sale and stocks[g][0] >= nums}
        view = self.run(self.world.carts.view(buyer(user)))
        assert {line.line.goods: line.orderable for line in view.lines} == {g: g in fit for g in cart}
        fen = [shelf[g].price_fen * nums for g, (nums, checked) in cart.items() if checked and g in fit]
        assert view.checked_total_fen == sum(fen)
        assert view.checked_freight_fen == (self.model.freight(sum(fen)) if fen else 0)

    # ---- jobs ----

    @rule()
    def timeout_scan(self) -> None:
        now_ms = self.now_ms()
        waits = self.model.refund_status
        due = [
            o
            for o in self.model.orders.values()
            if o.due_ms is not None and o.due_ms <= now_ms and waits(o) != 1
        ]
        for order in due:
            if order.status == PENDING:
                attempts = [p for p in self.model.attempts(order) if p.state in ("open", "closed")]
                for asked in attempts[::-1][:MOST_ASKED]:
                    self.model_asks(asked)
            if order.status == PENDING:
                self.model.cancelled(order, "TIMEOUT")
            elif order.status == SHIPPED:
                if attempt := self.model.open_attempt(order):
                    self.model_asks(attempt)
                self.model.completed(order, now_ms)
        assert self.run(self.world.timeout.run_once()) == len(due)

    @rule()
    def ask_about_attempts(self) -> None:
        sql = "SELECT payment_sn FROM payment WHERE ask_ms <= ? ORDER BY ask_ms"
        due = [sn for (sn,) in self.rows(sql, self.now_ms())]
        unreachable = self.world.provider.mode in ("down", "mute")
        for sn in due:
            payment = self.model.payments[sn]
            silent = unreachable or payment.channel == PaymentType.BALANCE
            self.model.alerts += silent and self.now_ms() > payment.expire_ms + STUCK_MS
            self.model_asks(payment)
        assert self.run(self.world.settlement.query_due()) == len(due)

    def model_asks(self, payment: ModelPayment) -> None:
        """The service asks the provider what became of an attempt; the wallet answers by messages only."""
        provider = self.world.provider
        if payment.channel == PaymentType.BALANCE or provider.mode in ("down", "mute"):
            return
        state = provider.ledger[payment.sn].state
        order = self.model.orders[payment.order_sn]
        if state == "paid":
            self.model.money(payment)
        elif (
            state == "closed"
            or (order.status != PENDING and state == "waiting")
            or self.now_ms() >= payment.expire_ms + GRACE_MS
        ):
            self.model.closed(payment)

    @rule()
    def send_refunds(self) -> None:
        sql = "SELECT payment_sn, refund_sn, out_refund_no, amount_fen, tries FROM refund WHERE try_ms <= ?"
        due = self.rows(f"{sql} ORDER BY try_ms", self.now_ms())
        for payment_sn, refund_sn, number, fen, tries in due:
            payment = self.model.payments[payment_sn]
            end = self.end_of_refund(payment, number, fen)
            self.model.alerts += not end and tries >= STUCK_TRIES
            order = self.model.orders[payment.order_sn]
            if refund_sn in order.asked:
                self.model_sends(order.asked[refund_sn], number, end)
            else:
                self.model.refund_round(payment, end)
        assert self.run(self.world.settlement.refund_due()) == len(due)

    def end_of_refund(self, payment: ModelPayment, number: str, fen: int) -> str:
        """How the provider answers; empty: not at all, or by a message."""
        if payment.channel == PaymentType.BALANCE:
            return ""
        mode, account = self.world.provider.mode, self.world.provider.ledger[payment.sn]
        if mode in ("down", "mute"):
            return ""
        if number in account.refunds:
            return "succeeded"
        if number in account.ended:
            return account.ended[number].value
        if mode in ("closed", "abnormal", "too_late"):
            return mode
        return "refused" if mode == "refuses" or account.holds_fen < fen else "succeeded"

    def model_sends(self, refund: ModelRefund, number: str, end: str) -> None:
        """A refund that somebody asked for is sent, or sent again."""
        order = self.model.orders[refund.order_sn]
        if refund.state in ("approved", "returned"):
            refund.state = "sent"
            order.events += 1
        if number not in refund.numbers:
            refund.numbers.append(number)
        if end == "succeeded":
            self.model.refunded(refund)
        elif end:
            refund.state, refund.failure = "failed", FAILURES[end]
            order.events += 1
            self.model.alerts += 1

    @rule(lost_too=st.booleans())
    def check_back_leases(self, lost_too: bool) -> None:
        self.run(self.world.neighbours.check_back(self.world.reservation))
        if lost_too:
            self.give_lost_leases_back()

    @precondition(lambda self: bool(self.world.lost))
    @rule()
    def give_lost_leases_back(self) -> None:
        for sn in self.world.lost:
            self.run(self.world.stock.release(sn))

    @rule(
        refuse=st.sampled_from(
            ["", "", "order.paid", "order.cancelled", "order.created", "payment.opened", "refund.succeeded"]
        ),
        down=st.sampled_from([False, False, False, True]),
        answer_lost=st.sampled_from([False, False, True]),
    )
    def relay(self, refuse: str, down: bool, answer_lost: bool) -> None:
        inboxes = self.world.inboxes
        inboxes.refuse = lambda event: event.type == refuse
        inboxes.down, inboxes.lose_answer = down, answer_lost
        try:
            self.run(self.world.relay.run_once())
        except DependencyDown:
            assert down or answer_lost
        inboxes.refuse = lambda event: False
        inboxes.down = inboxes.lose_answer = False

    @rule(mode=st.sampled_from(["up", "up", "down", "mute", "refuses", "closed", "abnormal", "too_late"]))
    def the_provider_becomes(self, mode: Mode) -> None:
        self.world.provider.mode = mode

    # ---- the end ----

    def everything_comes_to_rest(self) -> None:
        """With everything up and time enough, nothing hangs: not stock, not money, not messages."""
        self.everybody_tells_the_same()
        if self.world.provider.mode in ("down", "mute"):
            self.world.provider.mode = "up"
        for _ in range(4):
            self.world.real_ms += 2 * 3_600_000
            self.ask_about_attempts()
            self.timeout_scan()
            self.ask_about_attempts()
            self.send_refunds()
            self.all_messages_arrive()
            self.check_back_leases(lost_too=True)
        self.all_agrees()
        assert self.rows("SELECT count(*) FROM outbox") == [(0,)]
        assert self.world.neighbours.inbox.dead_letters == 0
        self.leases_tell_of_the_orders()
        self.nobody_has_money_that_is_not_theirs()
        self.is_at_rest = True
        self.the_log_is_fed()
        self.everybody_tells_the_same()
        self.what_is_over_is_archived()
        self.everybody_tells_the_same()

    def all_messages_arrive(self) -> None:
        """Overridden by the rules of the balance."""
        raise NotImplementedError

    def leases_tell_of_the_orders(self) -> None:
        for sn, state in self.stock_db.execute("SELECT order_sn, state FROM lease"):
            order = self.model.orders.get(sn)
            if order is None:
                assert state in ("released", "tombstone"), "stock is stuck in a lease without an order"
            else:
                assert state == ("confirmed" if order.paid_by else "released")
        back = {r.sn for o in self.model.orders.values() for r in o.asked.values() if r.gives_stock_back}
        assert set(self.returned()) == back, "stock that came back is counted once, and only then"

    def nobody_has_money_that_is_not_theirs(self) -> None:
        for payment in self.model.payments.values():
            order = self.model.orders[payment.order_sn]
            assert payment.state != "open"
            account = self.account(payment)
            if payment.state == "closed":
                assert account.holds_fen == 0 or payment.sn in self.too_late, "money nobody knows of"
                continue
            kept_fen = payment.fen - payment.back_fen
            if order.paid_by != payment.sn and order.refunds[payment.sn] != "failed":
                kept_fen = 0
            assert account.holds_fen == kept_fen
