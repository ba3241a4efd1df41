"""Rules: refunds that buyers and admins ask for, from the request to the money, in every order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from shop_order.domain.entity.after_sales import MAX_REQUESTS, RefundWish
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import (
    DependencyDown,
    IllegalTransition,
    KeyReused,
    OrderNotFound,
    RefundNotFound,
)
from shop_order.domain.refund_errors import (
    NotRefundable,
    RefundAbnormal,
    RefundTooLate,
    SecondApprovalNeeded,
)
from shop_order.domain.status import RefundType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.refund import RequestRefund
from tests.property.model import CANCELLED, COMPLETED, PAID, PENDING, Lines, ModelOrder, ModelRefund
from tests.property.paying import A, Paying, Refusal, any_orders, picks
from tests.property.running import Running
from tests.property.stage import ADMIN, SECOND_APPROVAL_FEN, USERS, WEEK_MS, buyer

OTHER_ADMIN = Actor(Role.ADMIN, 2)
any_refunds = precondition(lambda self: any(order.asked for order in self.model.orders.values()))
admins = st.sampled_from([ADMIN, ADMIN, OTHER_ADMIN])


class Refunding(Paying, Running):
    """Refunds by request, and how they end."""

    @any_orders
    @rule(
        at=picks,
        kind=st.sampled_from(["refund_only", "refund_only", "return"]),
        what=st.sampled_from(["all", "lines", "lines", "amount", "lines and amount"]),
        pieces=st.integers(1, 4),
        fen=st.sampled_from([1, 7, 500, 1999, 2000, 30_000]),
        key=st.sampled_from(["", "", "r1", "r2"]),
        stranger=st.sampled_from([False, False, False, True]),
    )
    def ask_for_a_refund(
        self, at: int, kind: str, what: str, pieces: int, fen: int, key: str, stranger: bool
    ) -> None:
        order = self.pick_order(at, PAID)
        if order is None:
            return
        goods, _ = order.lines[pieces % len(order.lines)]
        lines: Lines = ((goods, pieces),) if "lines" in what else ()
        amount_fen = fen if "amount" in what else 0
        self.asks(order, 15 - order.user if stranger else order.user, kind, lines, amount_fen, key)

    def asks(
        self, order: ModelOrder, user: int, kind: str, lines: Lines, amount_fen: int, key: str = ""
    ) -> ModelRefund | None:
        """Through the service, and in the model; the refund if there is a new one."""
        command = (order.sn, kind, lines, amount_fen)
        wish = RefundWish(RefundType(kind), tuple(Line(*line) for line in lines), amount_fen, "坏了")
        expected = self.expected_request(order, user, key, command)
        got = self.attempt(self.world.refunds.request(buyer(user), RequestRefund(order.sn, wish, key)))
        if isinstance(expected, str):
            assert not isinstance(got, type)
            assert got.result.refund_sn == expected
            return None
        if expected is not None:
            assert got is expected
            return None
        assert not isinstance(got, type), got
        if key:
            self.model.keys[user, "refund", key] = (command, got.result.refund_sn)
        return self.model_asks_for(order, got.result, lines, kind, "BUYER")

    @rule(
        user=st.sampled_from(USERS),
        goods=st.sampled_from([1, 2]),
        ship=st.booleans(),
        kind=st.sampled_from(["refund_only", "refund_only", "return"]),
        lines=st.sampled_from([(), (), ((2, 1),)]),
        fen=st.sampled_from([0, 0, 3]),
        send=st.booleans(),
    )
    def buy_and_give_back(
        self, user: int, goods: int, ship: bool, kind: str, lines: Lines, fen: int, send: bool
    ) -> None:
        """The usual way, without trouble."""
        before = set(self.model.orders)
        self.place_list(user, [(goods, 1), (2, 1)], "", False)
        new = [order for sn, order in self.model.orders.items() if sn not in before]
        if not new:
            return
        order = new[0]
        self.open_attempt(order, user, (A, "page"), "")
        attempt = self.model.open_attempt(order)
        if attempt is None or not self.pays(attempt):
            return
        self.provider_sends(attempt, deliver=True)
        if ship:
            expected = self.expected_ship(order, "N1")
            self.check_move(self.attempt(self.world.orders.ship(ADMIN, order.sn, "顺丰", "N1")), expected)
        if refund := self.asks(order, user, kind, lines, fen):
            for admin in (ADMIN, OTHER_ADMIN):
                self.approves(refund, admin, 0)
            if kind == "return":
                self.arrives(refund)
            if send:
                self.send_refunds()

    def expected_request(
        self, order: ModelOrder, user: int, key: str, command: tuple[str, str, Lines, int]
    ) -> Refusal | str | None:
        _, kind, lines, amount_fen = command
        if known := self.model.keys.get((user, "refund", key)):
            return known[1] if known[0] == command else KeyReused
        if order.user != user:
            return OrderNotFound
        if order.status in (PENDING, CANCELLED):
            return NotRefundable
        if sum(refund.by == "BUYER" for refund in order.asked.values()) >= MAX_REQUESTS:
            return NotRefundable
        if order.status == COMPLETED and self.now_ms() > order.completed_ms + WEEK_MS:
            return NotRefundable
        if kind == "return" and order.status == PAID:
            return NotRefundable
        if kind == "return" and amount_fen and not lines:
            return self.invalid
        left = self.model.pieces_left(order)
        whole = not lines and not amount_fen
        if any(nums > left.get(goods, 0) for goods, nums in lines):
            return NotRefundable
        wanted = tuple((goods, nums) for goods, nums in left.items() if nums) if whole else lines
        if kind == "return" and not wanted:
            return NotRefundable
        most_fen, _ = self.model.most(order, wanted)
        return NotRefundable if not most_fen or amount_fen > most_fen else None

    def model_asks_for(
        self, order: ModelOrder, refund: Refund, lines: Lines, kind: str, by: str
    ) -> ModelRefund:
        """The refund that the service made is what the contract says."""
        left = self.model.pieces_left(order)
        whole = not lines and (len(refund.lines) > 0 or refund.amount_fen == self.model.most(order, ())[0])
        wanted = tuple((goods, nums) for goods, nums in left.items() if nums) if whole else lines
        if not (whole and not refund.lines):
            assert sorted((line.goods, line.nums) for line in refund.lines) == sorted(wanted)
        stored = tuple((line.goods, line.nums) for line in refund.lines)
        most_fen, freight_fen = self.model.most(order, stored)
        assert refund.amount_fen <= most_fen
        assert refund.freight_fen == max(refund.amount_fen - (most_fen - freight_fen), 0)
        assert all(line.share_fen == order.prices[line.goods] * line.nums for line in refund.lines)
        order.asked[refund.refund_sn] = made = ModelRefund(
            refund.refund_sn,
            order.sn,
            kind,
            stored,
            refund.amount_fen,
            refund.freight_fen,
            self.now_ms(),
            by,
            refund.reason,
        )
        order.events += 1
        return made

    def expected_refund_of_all(self, order: ModelOrder, words: str) -> Refusal | None:
        """Called after the admin's cancel of a paid order: the model learns of the refund it opened."""
        known = set(order.asked)
        made = [sn for (sn,) in self.rows(
            "SELECT refund_sn FROM refund WHERE order_sn = ? AND surplus = 0 ORDER BY created_ms", order.sn
        ) if sn not in known]  # fmt: skip
        decided_fen = sum(refund.fen for refund in order.decided())
        asked = [refund for refund in order.asked.values() if refund.state == "requested"]
        if decided_fen >= order.fen or any(refund.by == "ADMIN" for refund in asked):
            assert not made
            return None
        for one in asked:
            one.state = "rejected"
            order.events += 1
        (sn,) = made
        opened = self.run(self.world.refunds.get(ADMIN, sn))
        both = ModelRefund(
            sn,
            order.sn,
            "refund_only",
            tuple((line.goods, line.nums) for line in opened.lines),
            opened.amount_fen,
            opened.freight_fen,
            self.now_ms(),
            "ADMIN",
            words,
        )
        assert opened.amount_fen == order.fen - decided_fen, "all money that is left"
        order.asked[sn] = both
        order.events += 1
        self.model_approves(order, both, ADMIN, 0)
        return None

    # ---- decisions ----

    def pick_refund(self, at: int, *states: str) -> ModelRefund | None:
        """One of all refunds, mostly one in these states."""
        every = [refund for order in self.model.orders.values() for refund in order.asked.values()]
        fitting = [refund for refund in every if refund.state in states]
        return self.pick(fitting if fitting and at % 4 else every, at // 4)

    @any_refunds
    @rule(at=picks, admin=admins, freight_fen=st.sampled_from([0, 0, 0, 300, 800]))
    def approve(self, at: int, admin: Actor, freight_fen: int) -> None:
        refund = self.pick_refund(at, "requested")
        if refund is not None:
            self.approves(refund, admin, freight_fen)

    def approves(self, refund: ModelRefund, admin: Actor, freight_fen: int) -> None:
        """Through the service, and in the model."""
        got = self.attempt(self.world.refunds.approve(admin, refund.sn, freight_fen=freight_fen))
        order = self.model.orders[refund.order_sn]
        self.check_move(got, self.model_approves(order, refund, admin, freight_fen))

    def model_approves(
        self, order: ModelOrder, refund: ModelRefund, admin: Actor, freight_fen: int
    ) -> Refusal | None:
        if refund.is_decided and freight_fen <= refund.freight_fen:
            return None
        if refund.state != "requested":
            return IllegalTransition
        amounts = self.model.approved_fen(order, refund, freight_fen)
        if amounts is None:
            return NotRefundable
        fen, with_freight_fen = amounts
        if fen + sum(r.fen for r in order.decided()) >= SECOND_APPROVAL_FEN:
            grows = fen > refund.fen
            if refund.approvals and refund.approver == admin.user_id and not grows:
                return SecondApprovalNeeded
            if not refund.approvals or grows:
                refund.fen, refund.freight_fen = fen, with_freight_fen
                refund.approvals, refund.approver = 1, admin.user_id
                order.events += 1
                return None
        refund.fen, refund.freight_fen = fen, with_freight_fen
        refund.approvals += 1
        refund.state = "awaiting_return" if refund.kind == "return" else "approved"
        order.events += 1
        return None

    @rule()
    def time_approves(self) -> None:
        self.model_lets_time_approve()
        self.run(self.world.auto_approval.run_once())

    def model_lets_time_approve(self) -> None:
        """The oldest first; those that two admins have to approve wait."""
        waiting = [
            refund
            for order in self.model.orders.values()
            for refund in order.asked.values()
            if refund.state == "requested" and self.now_ms() >= refund.created_ms + WEEK_MS
        ]
        for refund in sorted(waiting, key=lambda one: (one.created_ms, one.sn)):
            order = self.model.orders[refund.order_sn]
            amounts = self.model.approved_fen(order, refund, 0)
            decided_fen = sum(r.fen for r in order.decided())
            if refund.approvals or amounts is None or amounts[0] + decided_fen >= SECOND_APPROVAL_FEN:
                continue
            refund.fen, refund.freight_fen = amounts
            refund.state, refund.approvals = "approved", 1
            if refund.kind == "return":
                refund.state = "awaiting_return"
            order.events += 1

    @any_refunds
    @rule(at=picks, who=st.sampled_from(["owner", "owner", "stranger"]))
    def withdraw(self, at: int, who: str) -> None:
        if refund := self.pick_refund(at, "requested", "awaiting_return"):
            order = self.model.orders[refund.order_sn]
            got = self.attempt(self.world.refunds.withdraw(self.actor(who, order), refund.sn))
            self.check_move(got, self.expected_withdrawal(order, refund, who))

    def expected_withdrawal(self, order: ModelOrder, refund: ModelRefund, who: str) -> Refusal | None:
        if who == "stranger":
            return RefundNotFound
        if refund.state == "withdrawn":
            return None
        if refund.state not in ("requested", "awaiting_return") or refund.parcel or refund.by != "BUYER":
            return IllegalTransition
        refund.state = "withdrawn"
        order.events += 1
        return None

    @any_refunds
    @rule(at=picks)
    def reject(self, at: int) -> None:
        if refund := self.pick_refund(at, "requested"):
            got = self.attempt(self.world.refunds.reject(ADMIN, refund.sn, "不符合条件"))
            expected: Refusal | None = None
            if refund.state in ("requested", "awaiting_return"):
                refund.state = "rejected"
                self.model.orders[refund.order_sn].events += 1
            elif refund.state != "rejected":
                expected = IllegalTransition
            self.check_move(got, expected)

    @any_refunds
    @rule(at=picks, again=st.booleans())
    def goods_come_back(self, at: int, again: bool) -> None:
        refund = self.pick_refund(at, "awaiting_return")
        if refund is None:
            return
        order = self.model.orders[refund.order_sn]
        parcel = refund.parcel if again and refund.parcel else f"B{next(self.parcels)}"
        got = self.attempt(self.world.refunds.send_parcel(buyer(order.user), refund.sn, "中通", parcel))
        expected: Refusal | None = None
        if parcel != refund.parcel:
            if refund.state == "awaiting_return":
                refund.parcel = parcel
                order.events += 1
            else:
                expected = IllegalTransition
        self.check_move(got, expected)

    @any_refunds
    @rule(at=picks)
    def goods_arrive(self, at: int) -> None:
        if refund := self.pick_refund(at, "awaiting_return"):
            self.arrives(refund)

    def arrives(self, refund: ModelRefund) -> None:
        """Through the service, and in the model."""
        got = self.attempt(self.world.refunds.receive_goods(ADMIN, refund.sn))
        expected: Refusal | None = None
        if refund.state == "awaiting_return":
            refund.state = "returned"
            self.model.orders[refund.order_sn].events += 1
        elif refund.kind != "return" or not refund.is_decided:
            expected = IllegalTransition
        self.check_move(got, expected)

    # ---- what failed at the provider ----

    @any_refunds
    @rule(at=picks)
    def send_it_again(self, at: int) -> None:
        refund = self.pick_refund(at, "failed")
        if refund is None:
            return
        got = self.attempt(self.world.refunds.resend(ADMIN, refund.sn))
        self.check_move(got, self.expected_resend(refund))
        if not isinstance(got, type) and got.out_refund_no not in refund.numbers and refund.numbers:
            refund.numbers.append(got.out_refund_no)

    def expected_resend(self, refund: ModelRefund) -> Refusal | None:
        if refund.state == "sent":
            return None
        if refund.state != "failed":
            return IllegalTransition
        if refund.failure == "ABNORMAL":
            return RefundAbnormal
        if refund.failure == "REFUND_TOO_LATE":
            return RefundTooLate
        if refund.failure == "CLOSED" and self.world.provider.mode in ("down", "mute"):
            return DependencyDown
        refund.state, refund.failure = "sent", ""
        self.model.orders[refund.order_sn].events += 1
        return None

    @any_refunds
    @rule(at=picks)
    def settle_by_hand(self, at: int) -> None:
        refund = self.pick_refund(at, "failed")
        if refund is None:
            return
        got = self.attempt(self.world.refunds.settle(ADMIN, refund.sn, "银行转账"))
        if refund.state == "failed":
            self.model.refunded(refund, by_hand=True)
            self.check_move(got, None)
        else:
            self.check_move(got, None if refund.state == "settled" else IllegalTransition)

    # ---- the end ----

    def everything_comes_to_rest(self) -> None:
        """Time approves what nobody has decided."""
        self.run(self.world.clock.advance(WEEK_MS // 1000))
        self.time_approves()
        super().everything_comes_to_rest()
