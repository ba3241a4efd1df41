"""Where the stories play: the world, the model, and what must be true after each step."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sqlite3
import sys
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from shop_order.domain.entity.after_sales import RefundRules
from shop_order.domain.errors import OrderServiceError
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import EventPublisher
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import Pricing
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.service.place import OrderRules
from tests.property.model import (
    AUTO_CONFIRM_MS,
    CANCELLED,
    FAR_FEN,
    FREE_FREIGHT_FROM_FEN,
    FREIGHT_FEN,
    PAY_TIMEOUT_MS,
    PENDING,
    UNPAID_LIMIT,
    Model,
    ModelOrder,
    ModelPayment,
    ModelWallet,
)
from tests.world.neighbours import InProcessInboxes
from tests.world.provider import Account, SecondChannel
from tests.world.shop import STOCKS, World
from tests.world.wallet import BALANCES, Town

T = TypeVar("T")
USERS = (7, 8)
ADMIN = Actor(Role.ADMIN, 1)
GRACE_MS = 60_000  # after an attempt's end its link may still bring money
OPEN_STATES = ("created", "pending", "processing", "unknown")


WEEK_MS = 604_800_000
SECOND_APPROVAL_FEN = 5000
REFUND_RULES = RefundRules(WEEK_MS, auto_approve_ms=WEEK_MS, second_approval_fen=SECOND_APPROVAL_FEN)


def buyer(user: int) -> Actor:
    """A user's own token."""
    return Actor(Role.USER, user)


class InboxesThenWallet:
    """See `EventPublisher`: the wallet gets the commands in what the inboxes have accepted."""

    def __init__(self, inboxes: InProcessInboxes, to_wallet: EventPublisher) -> None:
        self._inboxes, self._to_wallet = inboxes, to_wallet

    async def deliver(self, events: Sequence[Event]) -> Sequence[int]:
        accepted = set(await self._inboxes.deliver(events))
        return await self._to_wallet.deliver([event for event in events if event.id in accepted])


class Stage(RuleBasedStateMachine):
    """The parts every rule uses; the rules themselves stand in buying, paying and running."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        pricing = Pricing(FREIGHT_FEN, FREE_FREIGHT_FROM_FEN, {"浙江": 0, "新疆": FAR_FEN})
        rules = OrderRules(PAY_TIMEOUT_MS, AUTO_CONFIRM_MS, UNPAID_LIMIT, pricing)
        self.world = World(rules=rules, refund_rules=REFUND_RULES)
        self.world.other_channels = {PaymentType.WECHAT: SecondChannel(self.world.provider)}
        self.town = Town(self.world)
        self.world.publisher = InboxesThenWallet(self.world.inboxes, self.world.publisher)
        self.run(self.town.open())
        self.model = Model()
        self.model_wallet = ModelWallet(dict(BALANCES))
        self.notices: list[tuple[str, str, bytes]] = []  # payment, what it says, the bytes
        self.seen_versions: dict[str, int] = {}
        self.parcels = itertools.count(1)
        self.too_late: set[str] = set()  # attempts that were paid when nobody asks about them any more
        self.db = sqlite3.connect(self.world.path, isolation_level=None)
        self.stock_db = sqlite3.connect(self.world.neighbours.path, isolation_level=None)
        self.wallet_db = sqlite3.connect(self.town.path, isolation_level=None)

    # ---- what rules use ----

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it; what it raises is a failure of the story."""
        return self.loop.run_until_complete(work)

    def attempt(self, work: Coroutine[Any, Any, T]) -> T | type[OrderServiceError]:
        """Its result, or which refusal came."""
        try:
            return self.run(work)
        except OrderServiceError as refused:
            return type(refused)

    def pays(self, payment: ModelPayment) -> bool:
        """The buyer pays at the provider, unless that is not possible."""
        if payment.channel == PaymentType.BALANCE or not self.world.provider.pay(payment.sn):
            return False
        if self.now_ms() >= payment.expire_ms + GRACE_MS:
            self.too_late.add(payment.sn)
        return True

    def at_provider(self) -> list[ModelPayment]:
        """The attempts that are no debits of the wallet."""
        return [p for p in self.model.payments.values() if p.channel != PaymentType.BALANCE]

    def account(self, payment: ModelPayment) -> Account:
        """What the other side holds of an attempt, in its own files."""
        if payment.channel != PaymentType.BALANCE:
            return self.world.provider.ledger[payment.sn]
        debits = self.wallet_rows(
            "SELECT amount_fen, refused FROM wallet_debit WHERE payment_sn = ?", payment.sn
        )
        state = "paid" if debits and not debits[0][1] else "closed" if debits else "absent"
        sql = "SELECT refund_sn, amount_fen FROM wallet_refund WHERE payment_sn = ?"
        back = dict(self.wallet_rows(sql, payment.sn))
        return Account(debits[0][0] if debits else payment.fen, state, refunds=back)

    def wallet_rows(self, sql: str, *values: object) -> list[Any]:
        """Rows of the wallet's file, read past it."""
        return self.wallet_db.execute(sql, values).fetchall()

    def now_ms(self) -> int:
        """The shop's time."""
        return self.world.clock()

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Rows of the order database, read past the service."""
        return self.db.execute(sql, values).fetchall()

    def stocks(self) -> dict[int, tuple[int, int, int]]:
        """By goods: available, reserved, sold."""
        sql = "SELECT goods_id, available, reserved, sold FROM stock"
        return {id: (a, r, s) for id, a, r, s in self.stock_db.execute(sql)}

    def returned(self) -> dict[str, list[tuple[int, int]]]:
        """By refund the stock that came back."""
        found = self.stock_db.execute("SELECT return_sn, lines FROM stock_return")
        return {sn: [tuple(map(int, line.split(":"))) for line in lines.split(",")] for sn, lines in found}  # type: ignore[misc]

    def lease(self, sn: str) -> str:
        """The state of a lease; empty if there is none."""
        found = self.stock_db.execute("SELECT state FROM lease WHERE order_sn = ?", (sn,)).fetchone()
        return found[0] if found else ""

    @staticmethod
    def pick(choices: Iterable[T], at: int) -> T | None:
        """One of them, None if there is none."""
        found = list(choices)
        return found[at % len(found)] if found else None

    def pick_order(self, at: int, status: int) -> ModelOrder | None:
        """One of all orders, mostly one of this status."""
        fitting = [order for order in self.model.orders.values() if order.status == status]
        return self.pick(fitting if fitting and at % 4 else self.model.orders.values(), at // 4)

    # ---- after each step ----

    @invariant()
    def all_agrees(self) -> None:
        """One invariant, so that a failing story shows one line for it."""
        self.orders_are_what_the_model_says()
        self.carts_are_what_the_model_says()
        self.a_key_has_one_effect()
        self.money_agrees()
        self.wallet_agrees()
        self.stock_agrees()
        self.touched_chains_hold()
        self.world.real_ms += 1

    def orders_are_what_the_model_says(self) -> None:
        found = {
            sn: (user, status, fen, version, paid_by)
            for sn, user, status, fen, version, paid_by in self.rows(
                "SELECT order_sn, user, status, pay_fen, version, payment_sn FROM order_info"
            )
        }
        assert found == {
            o.sn: (o.user, o.status, o.fen, o.events, o.paid_by) for o in self.model.orders.values()
        }
        events = dict(self.rows("SELECT order_sn, count(*) FROM order_event GROUP BY order_sn"))
        assert events == {o.sn: o.events for o in self.model.orders.values()}
        assert not set(self.world.lost) & set(found), "the lease of a stored order was given back"

    def carts_are_what_the_model_says(self) -> None:
        found: dict[int, dict[int, tuple[int, bool]]] = {}
        for user, goods, nums, checked in self.rows("SELECT user, goods, nums, checked FROM shopping_cart"):
            found.setdefault(user, {})[goods] = (nums, bool(checked))
        assert found == {user: cart for user, cart in self.model.carts.items() if cart}

    def a_key_has_one_effect(self) -> None:
        sql = 'SELECT scope, "key", order_sn, payment_sn FROM idempotency_key'
        found = {(scope, key): payment_sn or order_sn for scope, key, order_sn, payment_sn in self.rows(sql)}
        assert found == {(f"{u}:{case}", key): sn for (u, case, key), (_, sn) in self.model.keys.items()}

    def money_agrees(self) -> None:
        ours = {
            sn: ("open" if state in OPEN_STATES else state, fen)
            for sn, state, fen in self.rows("SELECT payment_sn, state, refunded_fen FROM payment")
        }
        assert ours == {p.sn: (p.told, p.refunded_fen) for p in self.model.payments.values()}
        found = self.rows("SELECT refund_sn, payment_sn, surplus, state, amount_fen, freight_fen FROM refund")
        assert {row[1]: row[3:5] for row in found if row[2]} == {
            sn: (state, self.model.payments[sn].fen)
            for o in self.model.orders.values()
            for sn, state in o.refunds.items()
        }
        assert {row[0]: row[3:] for row in found if not row[2]} == {
            r.sn: (r.state, r.fen, r.freight_fen)
            for o in self.model.orders.values()
            for r in o.asked.values()
        }
        for order in self.model.orders.values():
            self._the_ledger_agrees(order.sn)
        assert len(self.world.alerts) == self.model.alerts

    def _the_ledger_agrees(self, order_sn: str) -> None:
        """What the provider holds of an order is what we say, but for what nobody has told us yet."""
        order = self.model.orders[order_sn]
        for payment in self.model.attempts(order):
            account = self.account(payment)
            known = payment.state == "paid"
            assert not known or account.state == "paid"
            assert payment.back_fen <= sum(account.refunds.values()) <= (payment.fen if known else 0)
            if payment.sn != order.paid_by:
                assert len(account.refunds) <= 1, "given back under two numbers"
                continue
            back = dict(account.refunds)
            for refund in order.asked.values():
                given = [back.pop(number) for number in refund.numbers if number in back]
                assert given in ([], [refund.fen]), "given back under two numbers, or another amount"
                assert given or refund.state != "succeeded"
            assert not back, "given back under a number that nobody knows"
        decided_fen = sum(refund.fen for refund in order.decided())
        assert decided_fen <= order.fen

    def wallet_agrees(self) -> None:
        """Nothing appears or vanishes, and nothing happens twice."""
        model = self.model_wallet
        balances = dict(self.wallet_rows("SELECT id, balance_fen FROM user"))
        assert balances == model.balances
        came = sum(fen for _, fen, why in model.debits.values() if not why)
        went = sum(fen for _, fen in model.refunds.values())
        assert sum(balances.values()) + came - went == sum(BALANCES.values())
        found = self.wallet_rows("SELECT payment_sn, user_id, amount_fen, refused FROM wallet_debit")
        assert {sn: tuple(rest) for sn, *rest in found} == model.debits
        found = self.wallet_rows("SELECT refund_sn, payment_sn, amount_fen FROM wallet_refund")
        assert {number: tuple(rest) for number, *rest in found} == model.refunds
        assert self.wallet_rows("SELECT why FROM wallet_dead_letter") == []

    def stock_agrees(self) -> None:
        reserved, sold = dict.fromkeys(STOCKS, 0), dict.fromkeys(STOCKS, 0)
        states = {}
        for lines in self.returned().values():
            for goods, nums in lines:
                sold[goods] -= nums
        for sn, state, lines in self.stock_db.execute("SELECT order_sn, state, lines FROM lease"):
            states[sn] = state
            order = self.model.orders.get(sn)
            wanted = [tuple(map(int, line.split(":"))) for line in lines.split(",") if line]
            if order:
                assert wanted == list(order.lines)
            assert state != "confirmed" or (order and order.paid_by)
            assert state not in ("released", "tombstone") or order is None or order.status == CANCELLED
            for goods, nums in wanted:
                reserved[goods] += nums if state == "reserved" else 0
                sold[goods] += nums if state == "confirmed" else 0
        assert all(states[o.sn] == "reserved" for o in self.model.orders.values() if o.status == PENDING)
        assert set(self.model.orders) <= set(states)
        assert self.stocks() == {g: (STOCKS[g] - reserved[g] - sold[g], reserved[g], sold[g]) for g in STOCKS}

    def touched_chains_hold(self) -> None:
        for order in self.model.orders.values():
            if self.seen_versions.get(order.sn) != order.events:
                self.seen_versions[order.sn] = order.events
                sql = (
                    "SELECT id, version, type, created_ms, payload, prev_hash, hash"
                    " FROM order_event WHERE order_sn = ? ORDER BY version"
                )
                check_chain(order.sn, self.rows(sql, order.sn))
                assert self.run(self.world.audit.verify(order.sn)) == (1, [])

    # ---- the end of a story ----

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.everything_comes_to_rest()
        finally:
            self.db.close()
            self.stock_db.close()
            self.wallet_db.close()
            self.run(self.town.close())
            self.loop.close()

    def everything_comes_to_rest(self) -> None:
        """Overridden by the rules that run the background jobs."""


def check_chain(sn: str, events: Sequence[Any]) -> None:
    """Hash the chain again, by the formula of the documents and not by the service's code."""
    before = bytes(32)
    for at, (id, version, type, created_ms, payload, prev_hash, digest) in enumerate(events, start=1):
        assert version == at
        assert prev_hash == before
        text = f"{id}\n{sn}\n{version}\n{type}\n{created_ms}\n".encode()
        before = hashlib.sha256(before + text + payload).digest()
        assert digest == before
