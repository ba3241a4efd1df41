"""Changes of orders: those of one batch are read together, decided one by one, stored together.

What is about an order that is not among those of today, or that another one of the batch is about, is done
alone after them; a number that no order has is refused with the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import OrderNotFound
from shop_order.domain.event.order_events import Event, seal
from shop_order.domain.ports import Key, TradeNoTaken
from shop_order.domain.status import OrderStatus, PaymentState
from shop_order.pkg.tracing import Origin
from shop_order.repository.dao import rows
from shop_order.repository.dao.archive import bring_back
from shop_order.repository.dao.engine.base import ALONE, Row, Session
from shop_order.repository.dao.loading import load, orders_of
from shop_order.repository.dao.mapping import insert, marks
from shop_order.repository.dao.placing import INTO_EVENT, INTO_KEY, INTO_OUTBOX, key_row, take_key
from shop_order.repository.dao.rows import (
    HISTORY,
    LIVE,
    ORDER,
    ORDER_COLUMNS,
    PAYMENT,
    PAYMENT_COLUMNS,
    REFUND,
    REFUND_COLUMNS,
)

UPDATE_ORDER = f"UPDATE order_info SET {ORDER.changing} WHERE order_sn = ? AND version = ?"
INTO_PAYMENT = f"INSERT INTO payment ({PAYMENT_COLUMNS}, open_order_sn, ask_ms) VALUES"
UPDATE_PAYMENT = f"UPDATE payment SET {PAYMENT.changing}, open_order_sn = ?, ask_ms = ? WHERE payment_sn = ?"
INTO_REFUND = f"INSERT INTO refund ({REFUND_COLUMNS}, surplus_of, try_ms) VALUES"
UPDATE_REFUND = (
    f"UPDATE refund SET {REFUND.changing}, try_ms = CASE WHEN ? IS NULL THEN NULL ELSE try_ms END"
    " WHERE refund_sn = ?"
)
INTO_TRADE_NO = "INSERT INTO trade_no_claim (trade_no, payment_type, seller, payment_sn, created_ms) VALUES"
# An empty seller may be any: payments from before numbers were claimed have none.
BY_ANOTHER = "(trade_no = ? AND payment_type = ? AND (? IN (seller, '') OR seller = '') AND payment_sn <> ?)"
FIRST_ASK_MS = 30_000
PROOF = "SELECT id FROM order_event WHERE order_sn = ? AND version = ? AND hash = ?"


@dataclass(frozen=True, slots=True)
class Before:
    """An order as it was read."""

    version: int
    status: OrderStatus
    payments: Mapping[str, Payment]
    refunds: Mapping[str, Refund]

    @classmethod
    def of(cls, order: Order) -> Self:
        """To be taken before the decision."""
        return cls(order.version, order.status, dict(order.payments), dict(order.refunds))


class VersionConflict(Exception):
    """Another process changed or moved the order after it was read."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be decided about an order, and who asked for it."""

    order_sn: str
    decide: Callable[[Order], Any]
    key: Key | None
    seller: str
    asked: Origin
    next_id: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Decided:
    """An order before and after, and what the decision answered."""

    change: Change
    order: Order
    before: Before
    answer: Any

    @classmethod
    def of(cls, change: Change, order: Order) -> Decided:
        """Raises what the decision raises, and VersionConflict if the order was moved while it was read."""
        if order.is_finished and not order.items:
            raise VersionConflict
        before = Before.of(order)
        return cls(change, order, before, change.decide(order))

    @property
    def key_row(self) -> Row | None:
        """What the key led to."""
        key = self.change.key
        return key_row(key, self.order.order_sn, self.payment_sn) if key else None

    @property
    def payment_sn(self) -> str:
        """Of the attempt that was the answer."""
        return self.answer.payment_sn if isinstance(self.answer, Payment) else ""


def order_values(order: Order, before: Before) -> Row:
    """Values of UPDATE_ORDER."""
    return (*ORDER.changed(order), order.order_sn, before.version)


async def change_one(session: Session, change: Change) -> tuple[Order, Any]:
    """The order and the decision's answer.

    Raises VersionConflict, KeyTaken, TradeNoTaken, and what the decision raises.
    """
    decided = Decided.of(change, await load(session, ("order_sn", change.order_sn)))
    if change.key:
        await take_key(session, change.key, change.order_sn, decided.payment_sn)
    if decided.order.new_events:
        values = order_values(decided.order, decided.before)
        if not await session.run(UPDATE_ORDER, values):
            if not await bring_back(session, change.order_sn, decided.before.version):
                raise VersionConflict
            await session.run(UPDATE_ORDER, values)
        if held := await take_trade_nos(session, [decided]):
            raise TradeNoTaken(held)
        await _store(session, [decided])
    return decided.order, decided.answer


async def change_many(session: Session, changes: Sequence[Change]) -> Sequence[Any] | None:
    """The same for a batch: an answer, a refusal or ALONE each. None, with rows left to be undone, if one of
    them is not what it seemed."""
    numbers = sorted({change.order_sn for change in changes})
    sql = f"SELECT {ORDER_COLUMNS} FROM order_info WHERE order_sn IN ({marks(len(numbers))})"
    stored = await session.all(sql, numbers)
    loaded = rows.all_of(await orders_of(session, stored, hashes=True))
    orders = {order.order_sn: order for order in loaded}
    unknown = await _unknown(session, [sn for sn in numbers if sn not in orders])
    answers: list[Any] = []
    for change in changes:  # of several about one order, the first
        if order := orders.pop(change.order_sn, None):
            answers.append(_decide(change, order))
        else:
            answers.append(OrderNotFound() if change.order_sn in unknown else ALONE)
    decided = sorted((one for one in answers if isinstance(one, Decided)), key=lambda one: one.order.order_sn)
    keys = sorted((row for one in decided if (row := one.key_row)), key=tuple)
    if await insert(session, INTO_KEY, keys, session.dialect.unless_there) < len(keys):
        return None
    happened = [one for one in decided if one.order.new_events]
    for one in happened:
        if not await session.run(UPDATE_ORDER, order_values(one.order, one.before)):
            return None
    if await take_trade_nos(session, happened):
        return None
    if happened:
        await _store(session, happened)
    return [(one.order, one.answer) if isinstance(one, Decided) else one for one in answers]


async def take_trade_nos(session: Session, happened: Iterable[Decided]) -> str:
    """Keep the provider's numbers for their payments; one that has another's number already, else empty."""
    numbers = sorted(
        (row for one in happened for row in trade_nos(one.order, one.before, one.change.seller)), key=tuple
    )
    if not numbers:
        return ""
    # Waits for another process that takes one of them; FOR UPDATE waits also for one that takes it without an
    # account, or with one, which is another key.
    await insert(session, INTO_TRADE_NO, numbers, session.dialect.unless_there)
    words, either = session.dialect, " OR ".join([BY_ANOTHER] * len(numbers))
    # By the primary key: a scan would wait for all others.
    sql = f"SELECT payment_sn FROM trade_no_claim{words.by_primary_key} WHERE {either}{words.for_update}"
    held = await session.first(sql, [value for row in numbers for value in row[:4]])
    return held[0] if held else ""


async def _unknown(session: Session, numbers: Sequence[str]) -> set[str]:
    """Those that no order has, wherever it lies."""
    left = set(numbers)
    for tables in (HISTORY, LIVE):  # between two looks it may have come back
        if left:
            sql = f"SELECT order_sn FROM {tables.orders} WHERE order_sn IN ({marks(len(left))})"
            left -= {sn for (sn,) in await session.all(sql, sorted(left))}
    return left


def _decide(change: Change, order: Order) -> Decided | Exception:
    try:
        return Decided.of(change, order)
    except Exception as refused:  # noqa: BLE001 - it is handed to the change's own caller
        return refused


async def _store(session: Session, happened: Sequence[Decided]) -> None:
    """What belongs to orders that are changed already."""
    await _store_payments(session, happened)
    await _store_refunds(session, happened)
    sealed = [(event, one.change.asked) for one in happened for event in _sealed(one)]
    await insert(session, INTO_EVENT, [rows.event_row(event) for event, _ in sealed])
    await insert(session, INTO_OUTBOX, [rows.outbox_row(event, asked) for event, asked in sealed])
    last = sealed[-1][0]
    session.prove(PROOF, (last.order_sn, last.version, last.hash))


async def _store_payments(session: Session, happened: Iterable[Decided]) -> None:
    new: list[Row] = []
    for one in happened:
        for p, open_sn, ask_ms in changed_payments(one.order, one.before):
            if p.payment_sn in one.before.payments:
                values = (*PAYMENT.changed(p), open_sn, ask_ms, p.payment_sn)
                await session.run(UPDATE_PAYMENT, values)
            else:
                new.append((*rows.payment_row(p), open_sn, ask_ms))
    await insert(session, INTO_PAYMENT, new)


async def _store_refunds(session: Session, happened: Iterable[Decided]) -> None:
    new: list[Row] = []
    for one in happened:
        for refund, surplus_of, try_ms in changed_refunds(one.order, one.before):
            if refund.refund_sn in one.before.refunds:
                values = (*REFUND.changed(refund), try_ms, refund.refund_sn)
                await session.run(UPDATE_REFUND, values)
            else:
                new.append((*rows.refund_row(refund), surplus_of, try_ms))
    await insert(session, INTO_REFUND, new)


def _sealed(one: Decided) -> Iterable[Event]:
    order = one.order
    for happened in order.new_events:
        event = seal(happened, id=one.change.next_id(), order_sn=order.order_sn, prev_hash=order.last_hash)
        order.last_hash = event.hash
        yield event


def changed_payments(order: Order, before: Before) -> Iterator[tuple[Payment, str | None, int | None]]:
    """Attempts to store, each with `open_order_sn` and `ask_ms`."""
    for payment in order.payments.values():
        decided_now = payment.is_open and before.status is not order.status
        if payment is not before.payments.get(payment.payment_sn) or decided_now:
            open_sn = order.order_sn if payment.is_open else None
            yield payment, open_sn, ask_ms(payment, order.updated_ms, decided_now=decided_now)


def ask_ms(payment: Payment, now_ms: int, *, decided_now: bool) -> int | None:
    """When to ask the provider: at once if it is open though its order is decided, and once more after the
    link's end if it was closed before; None for never."""
    if payment.is_open:
        return now_ms if decided_now else payment.created_ms + FIRST_ASK_MS
    closed_early = payment.state is PaymentState.CLOSED and now_ms < payment.grace_end_ms
    return payment.grace_end_ms if closed_early else None


def trade_nos(order: Order, before: Before, seller: str) -> Iterator[Row]:
    """Values of INTO_TRADE_NO: the provider's numbers of the money that was found, each for one payment."""
    for payment in order.payments.values():
        known = before.payments.get(payment.payment_sn)
        if payment.is_paid and payment.trade_no and not (known and known.is_paid):
            channel = int(payment.payment_type)
            yield payment.trade_no, channel, seller, payment.payment_sn, order.updated_ms


def changed_refunds(order: Order, before: Before) -> Iterator[tuple[Refund, str | None, int | None]]:
    """Refunds to store, each with `surplus_of` and `try_ms`."""
    for refund in order.refunds.values():
        if refund is not before.refunds.get(refund.refund_sn):
            surplus_of = refund.payment_sn if refund.surplus else None
            yield refund, surplus_of, order.updated_ms if refund.is_open else None
