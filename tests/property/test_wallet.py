"""Random stories of orders paid by balance: messages are swapped, repeated and lost, both sides crash.

Whatever happens, Σ balances + Σ debits − Σ refunds stays what it was, and at the end every debit pays its
order or went back. Both sides are the real code on real files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shop_order.domain.errors import OrderServiceError
from shop_order.domain.status import PaymentType
from tests.property.test_shop import profile
from tests.world.wallet import Town, altered, buyer

T = TypeVar("T")
picks = st.integers(0, 1_000)
sometimes = st.sampled_from([False, False, True])


class WalletStories(RuleBasedStateMachine):
    """All that may happen between an order service and a wallet."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.town = self.run(Town().open())
        self.orders: list[tuple[int, str]] = []
        self.seen: list[bytes] = []  # answers that were on their way once
        self.forged = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def attempt(self, work: Coroutine[Any, Any, object]) -> bool:
        """Whether it was not refused."""
        try:
            self.run(work)
        except OrderServiceError:
            return False
        return True

    def take(self, messages: list[bytes], at: int, *, keep: bool) -> bytes:
        """One of the messages on their way, in any order; kept, it comes again."""
        index = at % len(messages)
        return messages[index] if keep else messages.pop(index)

    # ---- buyers ----

    @rule(user=st.sampled_from([7, 8]), goods=st.sampled_from([1, 2, 3]), nums=st.integers(1, 2))
    def buy(self, user: int, goods: int, nums: int) -> None:
        self.orders.append((user, self.run(self.town.buy(user, goods, nums))))

    @precondition(lambda self: self.orders)
    @rule(at=picks, by=st.sampled_from([PaymentType.BALANCE, PaymentType.ALIPAY]))
    def pay_again_or_switch(self, at: int, by: PaymentType) -> None:
        self.attempt(self.town.pay(*self.orders[at % len(self.orders)], by))

    @precondition(lambda self: self.orders)
    @rule(at=picks)
    def cancel(self, at: int) -> None:
        user, order_sn = self.orders[at % len(self.orders)]
        self.attempt(self.town.world.orders.cancel(buyer(user), order_sn))

    @rule(user=st.sampled_from([7, 8]))
    def buy_and_have_it_paid(self, user: int) -> None:
        self.buy(user, 2, 1)
        self.run(self.town.exchange())

    @rule()
    def cancel_while_the_debit_is_answered(self) -> None:
        self.buy(7, 2, 2)
        self.run(self.town.world.relay.run_once())
        while self.town.commands:
            self.a_command_arrives(0, False)
        self.cancel(len(self.orders) - 1)
        self.the_wallet_sends()

    @precondition(lambda self: self.orders)
    @rule(at=picks, fen=st.sampled_from([1, 5, 1999]))
    def refund_a_part(self, at: int, fen: int) -> None:
        if self.attempt(self.town.refund(self.orders[at % len(self.orders)][1], fen)):
            self.run(self.town.world.settlement.refund_due())
            self.run(self.town.world.relay.run_once())

    @rule(at=picks)
    def pay_at_the_other_provider(self, at: int) -> None:
        provider = self.town.world.provider
        if provider.ledger:
            sn = list(provider.ledger)[at % len(provider.ledger)]
            if provider.pay(sn):
                notice = provider.notice(sn)
                self.run(self.town.world.payments.provider_notice(PaymentType.ALIPAY, notice, {}))

    # ---- messages ----

    @rule()
    def relay(self) -> None:
        self.run(self.town.world.relay.run_once())

    @precondition(lambda self: self.town.commands)
    @rule(at=picks, comes_again=sometimes)
    def a_command_arrives(self, at: int, comes_again: bool) -> None:
        self.run(self.town.deliver_command(self.take(self.town.commands, at, keep=comes_again)))

    @precondition(lambda self: self.town.commands)
    @rule(at=picks)
    def a_command_is_lost(self, at: int) -> None:
        self.take(self.town.commands, at, keep=False)

    @rule()
    def the_wallet_sends(self) -> None:
        self.run(self.town.sender.send_once())
        self.seen += self.town.answers

    @precondition(lambda self: self.town.answers)
    @rule(at=picks, comes_again=sometimes)
    def an_answer_arrives(self, at: int, comes_again: bool) -> None:
        body = self.take(self.town.answers, at, keep=comes_again)
        assert self.run(self.town.deliver_answer(body)), "a true answer is never refused"

    @precondition(lambda self: self.town.answers)
    @rule(at=picks)
    def an_answer_is_lost(self, at: int) -> None:
        self.take(self.town.answers, at, keep=False)

    @precondition(lambda self: self.seen)
    @rule(at=picks)
    def an_old_answer_is_replayed(self, at: int) -> None:
        assert self.run(self.town.deliver_answer(self.seen[at % len(self.seen)]))

    @precondition(lambda self: self.seen)
    @rule(at=picks, wrong=st.sampled_from(["amount_fen", "user_id", "payment_sn"]))
    def a_wrong_answer_changes_nothing(self, at: int, wrong: str) -> None:
        body = self.seen[at % len(self.seen)]
        other: object = "P" + "0" * 27 if wrong == "payment_sn" else 77
        before = self.picture()
        assert self.run(self.town.deliver_answer(altered(body, **{wrong: other}))) == []
        assert self.picture() == before
        self.forged += 1

    def picture(self) -> Sequence[Any]:
        return self.town.order_rows("SELECT order_sn, version, status FROM order_info ORDER BY 1")

    # ---- time and crashes ----

    @rule(seconds=st.sampled_from([1, 31, 600, 1900]))
    def time_passes(self, seconds: int) -> None:
        self.town.world.real_ms += seconds * 1000

    @rule()
    def the_jobs_run(self) -> None:
        self.run(self.town.jobs())

    @rule()
    def the_service_crashes(self) -> None:
        self.run(self.town.world.restart())

    @rule()
    def the_wallet_crashes(self) -> None:
        self.run(self.town.restart_wallet())

    @invariant()
    def the_sums_are_what_they_were(self) -> None:
        self.town.check_now()

    def teardown(self) -> None:
        try:
            self.run(self.town.come_to_rest())
            self.town.check_at_rest()
            alerts = [
                name for name, _ in self.town.world.alerts if name not in ("payment_stuck", "refund_stuck")
            ]
            assert alerts == ["notice_mismatch"] * self.forged
        finally:
            self.run(self.town.close())
            self.loop.close()


TestWallet = WalletStories.TestCase
TestWallet.settings = settings(profile(), max_examples=profile().max_examples // 2)
TestWallet = pytest.mark.slow(pytest.mark.timeout(900)(pytest.mark.engine("sqlite")(TestWallet)))
