"""The order service and the sandbox's real wallet, with every message between them in the test's hands.

`commands` and `answers` are on their way; a test delivers, repeats, swaps and loses them. Every message that
either side sends is what `asyncapi.yaml` says.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.ports import WalletEntry
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.gateway.events import MessageEventPublisher
from shop_order.gateway.payment.balance import Balance
from shop_order.pkg.message import ORDER_EVENTS, WALLET_COMMANDS, WALLET_EVENTS, EmbeddedPublisher, Publisher
from shop_order.service.pay import PayOrder
from shop_order.service.place import OrderRules, PlaceOrder
from shop_order.web.context import RequestContext
from shop_order.web.grpc.event_inbox import EventInboxHandlers
from shop_sandbox import users, wallet
from shop_sandbox.answers import Answer, AnswerSender
from shop_sandbox.database import Database
from shop_sandbox.users import DemoUser, Users
from shop_sandbox.wallet import Wallet
from tests.world.messages import check
from tests.world.shop import ADDRESS, World

BALANCES = {7: 100_000, 8: 4_000}
STOCKS = dict.fromkeys((1, 2, 3), 10_000)
WALLET = Actor(Role.SERVICE, service="wallet")
ADMIN = Actor(Role.ADMIN, 1)
RULES = RefundRules(window_ms=604_800_000)
HOUR_MS = 3_600_000


def buyer(user: int) -> Actor:
    """A user's own token."""
    return Actor(Role.USER, user)


@dataclass
class Post:
    """See `shop_sandbox.answers.Carrier`: what is sent is stored, and waits to be delivered."""

    answers: list[bytes]

    async def open(self) -> None: ...

    async def send(self, answers: Sequence[Answer]) -> set[str]:
        check(WALLET_EVENTS, [answer.body for answer in answers])
        self.answers += [answer.body for answer in answers]
        return {answer.id for answer in answers}

    async def close(self) -> None: ...


class Town:
    """`world` and the wallet; `open`, `close`, and what may happen between them."""

    def __init__(self, world: World | None = None) -> None:
        self.commands: list[bytes] = []
        self.answers: list[bytes] = []
        self.world = world or World(rules=OrderRules(unpaid_limit=0), stocks=STOCKS)
        self.world.other_channels = {**self.world.other_channels, PaymentType.BALANCE: Balance()}
        self.carry_by(EmbeddedPublisher({ORDER_EVENTS: self._accept, WALLET_COMMANDS: self._hold}))
        self.path = self.world.folder / "users.db"

    def carry_by(self, publisher: Publisher) -> None:
        """Let the relay publish through this one."""
        world = self.world
        world.publisher = MessageEventPublisher(
            publisher, now_ms=world.real_now, ahead_ms=lambda: world.clock() - world.real_ms
        )

    async def open(self) -> Town:
        """Start both."""
        await self._open_wallet()
        await Users(self.users_db).open(DemoUser(user, "", balance_fen=fen) for user, fen in BALANCES.items())
        await self.world.open()
        return self

    async def close(self) -> None:
        """Stop both and leave no file behind."""
        await self.users_db.close()
        await self.world.close()

    async def restart_wallet(self) -> None:
        """The wallet's process ends and another one takes its file over."""
        await self.users_db.close()
        await self._open_wallet()

    async def _open_wallet(self) -> None:
        self.users_db = Database(self.path, users.SCHEMA + wallet.SCHEMA)
        self.users_db.open()
        self.wallet = Wallet(self.users_db, self.world.real_now)
        self.sender = AnswerSender(self.users_db, Post(self.answers), self.world.real_now, interval_s=1)

    async def _accept(self, bodies: Sequence[bytes]) -> set[str]:
        check(ORDER_EVENTS, bodies)
        return {wallet.event_id(body) for body in bodies}

    async def _hold(self, bodies: Sequence[bytes]) -> set[str]:
        check(WALLET_COMMANDS, bodies)
        self.commands += bodies
        return {wallet.event_id(body) for body in bodies}

    # ---- what happens ----

    async def buy(self, user: int, goods: int = 1, nums: int = 1) -> str:
        """A new order, to be paid by balance: its number."""
        command = PlaceOrder(ADDRESS, (Line(goods, nums),))
        order_sn = (await self.world.placing.place(buyer(user), command)).result.order_sn
        await self.pay(user, order_sn)
        return order_sn

    async def pay(self, user: int, order_sn: str, by: PaymentType = PaymentType.BALANCE) -> str:
        """An attempt: its number."""
        return (await self.world.payments.pay(buyer(user), PayOrder(order_sn, by))).result.payment.payment_sn

    async def refund(self, order_sn: str, fen: int) -> None:
        """An admin gives a part back. Raises NotRefundable, InvalidArgument (more than is left)."""
        number, now_ms = self.world.numbers.refund_sn(), self.world.clock()

        def ask(order: Order) -> None:
            wish = RefundWish(amount_fen=fen)
            after_sales.request_refund(order, wish, number, ADMIN, now_ms, RULES)
            after_sales.approve(order, number, ADMIN, now_ms, RULES)

        await self.world.store.orders.change(order_sn, ask)

    async def deliver_command(self, body: bytes) -> None:
        """The wallet gets a message."""
        await self.wallet.deliver(pb.EventBatch(cloud_events=[body]))

    async def deliver_answer(self, *bodies: bytes, actor: Actor = WALLET) -> list[str]:
        """The order service gets messages; the ids of those it takes."""
        context = RequestContext("of-the-test")
        context.actor = actor
        inbox = EventInboxHandlers(self.world.wallet_answers, lambda *_, **__: None)
        result = await inbox.deliver(pb.EventBatch(cloud_events=bodies), context)
        return list(result.accepted_ids)

    async def exchange(self) -> None:
        """Everything on its way arrives once, until nothing is on its way."""
        while True:
            while await self.world.relay.run_once():
                pass
            while await self.sender.send_once():
                pass
            if not (self.commands or self.answers):
                return
            while self.commands:
                await self.deliver_command(self.commands.pop(0))
            while self.answers:
                await self.deliver_answer(self.answers.pop(0))

    async def come_to_rest(self) -> None:
        """With nothing lost any more, and time enough for the jobs."""
        for _ in range(6):
            await self.exchange()
            self.world.real_ms += HOUR_MS
            await self.jobs()
        await self.exchange()

    async def jobs(self) -> None:
        """One round of the jobs that ask again."""
        await self.world.timeout.run_once()
        await self.world.settlement.query_due()
        await self.world.settlement.refund_due()

    # ---- what must be true ----

    def wallet_rows(self, sql: str, *values: object) -> list[Any]:
        """Rows of the wallet's file, read past it."""
        with sqlite3.connect(self.path) as db:
            return db.execute(sql, values).fetchall()

    def order_rows(self, sql: str, *values: object) -> list[Any]:
        """Rows of the order database, read past the service."""
        with sqlite3.connect(self.world.path) as db:
            return db.execute(sql, values).fetchall()

    def check_now(self) -> None:
        """At every moment: nothing appears or vanishes, nothing happens twice, both sides agree."""
        balances = dict(self.wallet_rows("SELECT id, balance_fen FROM user"))
        debits = {sn: (u, fen) for sn, u, fen in self.wallet_rows(_DEBITS)}
        refunds = {sn: (payment_sn, fen) for sn, payment_sn, fen in self.wallet_rows(_REFUNDS)}
        came = sum(fen for _, fen in debits.values())
        went = sum(fen for _, fen in refunds.values())
        assert sum(balances.values()) + came - went == sum(BALANCES.values())
        ledger = dict(self.wallet_rows("SELECT user_id, sum(amount_fen) FROM ledger GROUP BY user_id"))
        assert ledger == balances
        entries = self.wallet_rows("SELECT count(*) FROM ledger WHERE kind <> 'deposit'")[0][0]
        assert entries == len(debits) + len(refunds)
        for sn, user, fen in self.order_rows(_OUR_PAID):
            assert debits.get(sn) == (user, fen), "an order was paid by money that was not taken"
        for sn, payment_sn, fen in self.order_rows(_OUR_REFUNDS):
            assert refunds.get(sn) == (payment_sn, fen), "a refund succeeded that was not made"

    def check_at_rest(self) -> None:
        """At the end: each debit pays its order, or went back; nothing hangs."""
        self.check_now()
        held = {sn: fen for sn, fen in self.wallet_rows(_HELD) if fen}
        kept = dict(self.order_rows(_KEPT))
        assert held == kept, "money is neither a kept payment nor refunded"
        assert self.order_rows(_HANGING_PAYMENTS) == [] == self.order_rows(_HANGING_REFUNDS)
        assert self.order_rows("SELECT count(*) FROM outbox") == [(0,)]
        assert self.wallet_rows("SELECT count(*) FROM wallet_answer") == [(0,)]


class Ledger:
    """See `domain.ports.WalletLedger`, over the sandbox's users without a wire, in small pages."""

    def __init__(self, town: Town) -> None:
        self._users = Users(town.users_db)

    async def entries(self, after: int, limit: int) -> list[WalletEntry]:
        page = await self._users.list_ledger(pb.LedgerFilter(after_id=after, limit=min(limit, 2)))
        return [
            WalletEntry(e.id, e.user_id, e.payment_sn, e.amount_fen, e.kind, e.refund_sn)
            for e in page.entries
        ]


_DEBITS = "SELECT payment_sn, user_id, amount_fen FROM wallet_debit WHERE refused = ''"
_REFUNDS = "SELECT refund_sn, payment_sn, amount_fen FROM wallet_refund"
_HELD = "SELECT payment_sn, amount_fen - refunded_fen FROM wallet_debit WHERE refused = ''"
_OURS = "payment_type = 3 AND state IN ('paid', 'part_refunded', 'refunded')"
_OUR_PAID = f'SELECT payment_sn, "user", amount_fen FROM payment WHERE {_OURS}'
_OUR_REFUNDS = (
    "SELECT r.refund_sn, r.payment_sn, r.amount_fen FROM refund r JOIN payment p USING (payment_sn)"
    " WHERE p.payment_type = 3 AND r.state = 'succeeded'"
)
# Of an order with two payments, the one that paid it.
_KEPT = (
    "SELECT p.payment_sn, p.amount_fen - p.refunded_fen FROM payment p"
    f" JOIN order_info o ON o.payment_sn = p.payment_sn WHERE {_OURS.replace('state', 'p.state')}"
    " AND p.amount_fen > p.refunded_fen"
)
_HANGING_PAYMENTS = "SELECT payment_sn FROM payment WHERE state IN ('processing', 'unknown')"
_HANGING_REFUNDS = "SELECT refund_sn FROM refund WHERE state NOT IN ('succeeded', 'rejected')"


def altered(body: bytes, **data: object) -> bytes:
    """The event with other data."""
    event = json.loads(body)
    event["data"] |= data
    return json.dumps(event).encode()
