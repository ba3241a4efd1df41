"""Rules: payments by balance. Messages are swapped, repeated and lost, and either side crashes meanwhile.

Both sides are the real code; the model knows each side's state, and what every message must do to it.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.property.model import ModelOrder
from tests.property.paying import B, picks
from tests.property.refunding import OTHER_ADMIN, Refunding
from tests.property.stage import ADMIN, USERS, buyer
from tests.world.wallet import altered

sometimes = st.sampled_from([False, False, True])


class Debiting(Refunding):
    """Debits, their answers, and refunds to the balance."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []  # answers that were on their way once

    # ---- buyers ----

    @rule(
        user=st.sampled_from(USERS),
        goods=st.sampled_from([1, 2]),
        cancelled=sometimes,
        fen=st.sampled_from([0, 3, 1999]),
        ship=st.booleans(),
    )
    def buy_by_balance(self, user: int, goods: int, cancelled: bool, fen: int, ship: bool) -> None:
        """The usual way; or it is cancelled while the debit is answered."""
        before = set(self.model.orders)
        self.place_list(user, [(goods, 1)], "", False)
        new = [order for sn, order in self.model.orders.items() if sn not in before]
        if not new:
            return
        (order,) = new
        self.open_attempt(order, user, (B, ""), "")
        self.commands_arrive()
        if cancelled:
            got = self.attempt(self.world.orders.cancel(buyer(user), order.sn))
            self.check_move(got, self.expected_cancel(order, "owner"))
        self.answers_arrive()
        if order.paid_by and ship:
            expected = self.expected_ship(order, "N2")
            self.check_move(self.attempt(self.world.orders.ship(ADMIN, order.sn, "顺丰", "N2")), expected)
        if order.paid_by:
            self.gives_back(order, fen)

    def gives_back(self, order: ModelOrder, fen: int) -> None:
        """A whole refund or a part; its messages are still on their way."""
        if refund := self.asks(order, order.user, "refund_only", (), fen):
            for admin in (ADMIN, OTHER_ADMIN):
                self.approves(refund, admin, 0)
            self.send_refunds()

    # ---- messages to the wallet ----

    @precondition(lambda self: self.town.commands)
    @rule(at=picks, comes_again=sometimes)
    def a_command_arrives(self, at: int, comes_again: bool) -> None:
        body = taken(self.town.commands, at, keep=comes_again)
        told = json.loads(body)["data"]
        payment = self.model.payments[told["payment_sn"]]
        assert told["user_id"] == self.model.orders[payment.order_sn].user
        if number := told.get("refund_sn"):
            self.model_wallet.refunded(number, payment.sn, told["amount_fen"])
        else:
            assert told["amount_fen"] == payment.fen
            is_late = self.world.real_ms > told["expire_at_ms"]
            self.model_wallet.debited(payment.sn, told["user_id"], payment.fen, is_late=is_late)
        self.run(self.town.deliver_command(body))

    @precondition(lambda self: self.town.commands)
    @rule(at=picks)
    def a_command_is_lost(self, at: int) -> None:
        taken(self.town.commands, at, keep=False)

    @rule()
    def commands_arrive(self) -> None:
        while self.run(self.world.relay.run_once()):
            pass
        while self.town.commands:
            self.a_command_arrives(0, False)

    # ---- messages from the wallet ----

    @rule()
    def the_wallet_sends(self) -> None:
        known = len(self.town.answers)
        self.run(self.town.sender.send_once())
        self.seen += self.town.answers[known:]

    @precondition(lambda self: self.town.answers)
    @rule(at=picks, comes_again=sometimes)
    def an_answer_arrives(self, at: int, comes_again: bool) -> None:
        self.told_by_the_wallet(taken(self.town.answers, at, keep=comes_again))

    @precondition(lambda self: self.town.answers)
    @rule(at=picks)
    def an_answer_is_lost(self, at: int) -> None:
        taken(self.town.answers, at, keep=False)

    @precondition(lambda self: self.seen)
    @rule(at=picks)
    def an_old_answer_is_replayed(self, at: int) -> None:
        self.told_by_the_wallet(self.seen[at % len(self.seen)])

    @rule()
    def answers_arrive(self) -> None:
        self.the_wallet_sends()
        while self.town.answers:
            self.an_answer_arrives(0, False)

    def told_by_the_wallet(self, body: bytes) -> None:
        """The service believes it."""
        event = json.loads(body)
        told, kind = event["data"], event["type"]
        payment = self.model.payments[told["payment_sn"]]
        if kind == "wallet.debited":
            self.model.money(payment)
        elif kind == "wallet.rejected":
            self.model.rejected(payment, told["reason"])
        else:
            self.model.given_back(payment, told["refund_sn"])
        assert self.run(self.town.deliver_answer(body)) == [event["id"]], "a true answer is never refused"

    @precondition(lambda self: self.seen)
    @rule(at=picks, wrong=st.sampled_from(["amount_fen", "user_id", "payment_sn", "refund_sn"]))
    def a_wrong_answer_changes_nothing(self, at: int, wrong: str) -> None:
        other: object = "R" + "0" * 27 if wrong.endswith("sn") else 77
        body = altered(self.seen[at % len(self.seen)], **{wrong: other})
        assert self.run(self.town.deliver_answer(body)) == []
        self.model.alerts += 1

    # ---- crashes ----

    @rule()
    def the_wallet_crashes(self) -> None:
        self.run(self.town.restart_wallet())

    # ---- the end ----

    def all_messages_arrive(self) -> None:
        """None is lost any more."""
        self.commands_arrive()
        self.answers_arrive()
        assert self.wallet_rows("SELECT count(*) FROM wallet_answer") == [(0,)]


def taken(messages: list[bytes], at: int, *, keep: bool) -> bytes:
    """One of the messages on their way, in any order; kept, it comes again."""
    index = at % len(messages)
    return messages[index] if keep else messages.pop(index)
