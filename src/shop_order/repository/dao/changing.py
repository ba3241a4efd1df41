"""Changing orders: a batch is read together, decided one by one, and stored together.

Changes of an archived order, and further changes of the same order, run alone after the batch.
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
from shop_order.domain.status import DUE_REFUND, SHIPPED_ORDER, OrderStatus, PaymentState
from shop_order.pkg.tracing import Origin
from shop_order.repository.dao import rows
from shop_order.repository.dao.archive import restore_order
from shop_order.repository.dao.engine.base import RUN_ALONE, Row, Session, insert, marks
from shop_order.repository.dao.loading import load, orders_of
from shop_order.repository.dao.placing import INSERT_EVENT, INSERT_KEY, INSERT_OUTBOX, key_row, take_key
from shop_order.repository.dao.rows import HISTORY, LIVE, ORDER, PAYMENT, REFUND

UPDATE_ORDER = f"UPDATE order_info SET {ORDER.changing} WHERE order_sn = ? AND version = ?"
INSERT_PAYMENT = f"INSERT INTO payment ({PAYMENT.select}, open_order_sn, ask_ms) VALUES"
UPDATE_PAYMENT = f"UPDATE payment SET {PAYMENT.changing}, open_order_sn = ? WHERE payment_sn = ?"
SCHEDULE_PAYMENT = (
    f"UPDATE payment SET {PAYMENT.changing}, open_order_sn = ?, ask_tries = 0, ask_ms = ?"
    " WHERE payment_sn = ?"
)
INSERT_REFUND = f"INSERT INTO refund ({REFUND.select}, surplus_of, try_ms) VALUES"
# A refund that becomes due is tried at once; one that stays due keeps its schedule.
UPDATE_REFUND = f"UPDATE refund SET {REFUND.changing} WHERE refund_sn = ?"
SCHEDULE_REFUND = f"UPDATE refund SET {REFUND.changing}, tries = 0, try_ms = ? WHERE refund_sn = ?"
INSERT_TRADE_NO = "INSERT INTO trade_no_claim (trade_no, payment_type, seller, payment_sn, created_ms) VALUES"
# An empty seller matches any: payments from before numbers were claimed have none.
HELD_BY_ANOTHER = (
    "(trade_no = ? AND payment_type = ? AND (? IN (seller, '') OR seller = '') AND payment_sn <> ?)"
)
FIRST_ASK_MS = 30_000
COMMIT_CHECK = "SELECT id FROM order_event WHERE order_sn = ? AND version = ? AND hash = ?"


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """An order as it was read."""

    version: int
    status: OrderStatus
    payments: Mapping[str, Payment]
    refunds: Mapping[str, Refund]

    @classmethod
    def of(cls, order: Order) -> Self:
        """Take the snapshot before the decision."""
        return cls(order.version, order.status, dict(order.payments), dict(order.refunds))


class VersionConflict(Exception):
    """Another process changed or moved the order after it was read."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an order, and the request it belongs to."""

    order_sn: str
    decide: Callable[[Order], Any]
    key: Key | None
    seller: str
    origin: Origin
    next_id: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Decision:
    """An order before and after a change, and the result of `decide`."""

    change: Change
    order: Order
    before: OrderSnapshot
    result: Any

    @classmethod
    def of(cls, change: Change, order: Order) -> Decision:
        """Decide. Raises what `decide` raises; VersionConflict if the order was moved while it was read."""
        if order.is_finished and not order.items:
            raise VersionConflict
        before = OrderSnapshot.of(order)
        return cls(change, order, before, change.decide(order))

    @property
    def key_row(self) -> Row | None:
        """The row of the idempotency key, None without one."""
        key = self.change.key
        return key_row(key, self.order.order_sn, self.payment_sn) if key else None

    @property
    def payment_sn(self) -> str:
        """The number of the payment or refund that was the result, empty if it was neither."""
        if isinstance(self.result, Refund):
            return self.result.refund_sn
        return self.result.payment_sn if isinstance(self.result, Payment) else ""


def order_values(order: Order, before: OrderSnapshot) -> Row:
    """Values of UPDATE_ORDER."""
    return (*ORDER.changed(order), order.order_sn, before.version)


async def change_one(session: Session, change: Change) -> tuple[Order, Any]:
    """Return the order and the result.

    Raises VersionConflict, KeyTaken, TradeNoTaken, and what `decide` raises.
    """
    decided = Decision.of(change, await load(session, ("order_sn", change.order_sn)))
    if change.key:
        await take_key(session, change.key, change.order_sn, decided.payment_sn)
    if decided.order.new_events:
        values = order_values(decided.order, decided.before)
        if not await session.run(UPDATE_ORDER, values):
            if not await restore_order(session, change.order_sn, decided.before.version):
                raise VersionConflict
            await session.run(UPDATE_ORDER, values)
        if holder := await take_trade_nos(session, [decided]):
            raise TradeNoTaken(holder)
        await _store(session, [decided])
    return decided.order, decided.result


async def change_many(session: Session, changes: Sequence[Change]) -> Sequence[Any] | None:
    """Decide and store a batch: a result, an error or RUN_ALONE for each change.

    None, with rows left to be rolled back, if one of them meets a conflict.
    """
    numbers = sorted({change.order_sn for change in changes})
    sql = f"SELECT {ORDER.select} FROM order_info WHERE order_sn IN ({marks(len(numbers))})"
    stored = await session.all(sql, numbers)
    loaded = rows.require_readable(await orders_of(session, stored, hashes=True))
    orders = {order.order_sn: order for order in loaded}
    unknown = await _missing(session, [sn for sn in numbers if sn not in orders])
    results: list[Any] = []
    for change in changes:  # only the first change of each order
        if order := orders.pop(change.order_sn, None):
            results.append(_decide(change, order))
        else:
            results.append(OrderNotFound() if change.order_sn in unknown else RUN_ALONE)
    decided = sorted(
        (one for one in results if isinstance(one, Decision)), key=lambda one: one.order.order_sn
    )
    keys = sorted((row for one in decided if (row := one.key_row)), key=tuple)
    if await insert(session, INSERT_KEY, keys, session.dialect.skip_existing) < len(keys):
        return None
    changed = [one for one in decided if one.order.new_events]
    for one in changed:
        if not await session.run(UPDATE_ORDER, order_values(one.order, one.before)):
            return None
    if await take_trade_nos(session, changed):
        return None
    if changed:
        await _store(session, changed)
    return [(one.order, one.result) if isinstance(one, Decision) else one for one in results]


async def take_trade_nos(session: Session, changed: Iterable[Decision]) -> str:
    """Claim the provider's trade numbers; return a payment that already has one of them, else empty."""
    numbers = sorted(
        (row for one in changed for row in trade_nos(one.order, one.before, one.change.seller)), key=tuple
    )
    if not numbers:
        return ""
    # Waits for another process that claims the same key; FOR UPDATE also waits for one that claims the number
    # under another seller.
    await insert(session, INSERT_TRADE_NO, numbers, session.dialect.skip_existing)
    condition = " OR ".join([HELD_BY_ANOTHER] * len(numbers))
    by_key, lock = session.dialect.force_primary_key, session.dialect.for_update
    # By the primary key: a scan would wait for every other claim.
    sql = f"SELECT payment_sn FROM trade_no_claim{by_key} WHERE {condition}{lock}"
    holder = await session.first(sql, [value for row in numbers for value in row[:4]])
    return holder[0] if holder else ""


async def _missing(session: Session, numbers: Sequence[str]) -> set[str]:
    """Return the numbers of no live or archived order."""
    left = set(numbers)
    for tables in (HISTORY, LIVE):  # an order may be restored between the two reads
        if left:
            sql = f"SELECT order_sn FROM {tables.orders} WHERE order_sn IN ({marks(len(left))})"
            left -= {sn for (sn,) in await session.all(sql, sorted(left))}
    return left


def _decide(change: Change, order: Order) -> Decision | Exception:
    try:
        return Decision.of(change, order)
    except Exception as refused:  # noqa: BLE001 - it is raised to the change's own caller
        return refused


async def _store(session: Session, changed: Sequence[Decision]) -> None:
    """Store payments, refunds and events of orders whose own rows are updated."""
    await _store_payments(session, changed)
    await _store_refunds(session, changed)
    sealed = [(event, one.change.origin) for one in changed for event in _seal_events(one)]
    await insert(session, INSERT_EVENT, [rows.EVENT.row_of(event) for event, _ in sealed])
    await insert(session, INSERT_OUTBOX, [rows.outbox_row(event, origin) for event, origin in sealed])
    last = sealed[-1][0]
    session.set_commit_check(COMMIT_CHECK, (last.order_sn, last.version, last.hash))


async def _store_payments(session: Session, changed: Iterable[Decision]) -> None:
    new: list[Row] = []
    for one in changed:
        for p, open_sn, ask_ms in changed_payments(one.order, one.before):
            before = one.before.payments.get(p.payment_sn)
            values = (*PAYMENT.changed(p), open_sn)
            if before is None:
                new.append((*rows.PAYMENT.row(p), open_sn, ask_ms))
            elif is_to_tell(before, one.before.status) and is_to_tell(p, one.order.status):
                await session.run(UPDATE_PAYMENT, (*values, p.payment_sn))  # told once, maybe before
            else:
                await session.run(SCHEDULE_PAYMENT, (*values, ask_ms, p.payment_sn))
    await insert(session, INSERT_PAYMENT, new)


async def _store_refunds(session: Session, changed: Iterable[Decision]) -> None:
    new: list[Row] = []
    for one in changed:
        for refund, surplus_of, try_ms in changed_refunds(one.order, one.before):
            before = one.before.refunds.get(refund.refund_sn)
            if before is None:
                new.append((*rows.REFUND.row(refund), surplus_of, try_ms))
            elif before.state in DUE_REFUND and refund.state in DUE_REFUND:
                await session.run(UPDATE_REFUND, (*REFUND.changed(refund), refund.refund_sn))
            else:
                await session.run(SCHEDULE_REFUND, (*REFUND.changed(refund), try_ms, refund.refund_sn))
    await insert(session, INSERT_REFUND, new)


def _seal_events(one: Decision) -> Iterable[Event]:
    order = one.order
    for happened in order.new_events:
        event = seal(happened, id=one.change.next_id(), order_sn=order.order_sn, prev_hash=order.last_hash)
        order.last_hash = event.hash
        yield event


def changed_payments(order: Order, before: OrderSnapshot) -> Iterator[tuple[Payment, str | None, int | None]]:
    """Yield the payments to store, each with `open_order_sn` and `ask_ms`."""
    for payment in order.payments.values():
        decided_now = payment.is_open and before.status is not order.status
        to_tell = is_to_tell(payment, order.status)
        tell_now = to_tell and before.status is OrderStatus.PAID
        if payment is not before.payments.get(payment.payment_sn) or decided_now or tell_now:
            open_sn = order.order_sn if payment.is_open else None
            asked_ms = ask_ms(payment, order.updated_ms, decided_now=decided_now)
            yield payment, open_sn, order.updated_ms if to_tell else asked_ms


def is_to_tell(payment: Payment, status: OrderStatus) -> bool:
    """Whether the payment's provider is to be told of the shipping."""
    return payment.awaits_shipping and status in SHIPPED_ORDER


def ask_ms(payment: Payment, now_ms: int, *, decided_now: bool) -> int | None:
    """Return when to query the provider, None for never.

    At once if the payment is open although its order is decided; after the payment URL expires if it was
    closed earlier, unless its channel refused it.
    """
    if payment.is_open:
        return now_ms if decided_now else payment.created_ms + FIRST_ASK_MS
    closed_early = payment.state is PaymentState.CLOSED and now_ms < payment.grace_end_ms
    return payment.grace_end_ms if closed_early and not payment.close_reason else None


def trade_nos(order: Order, before: OrderSnapshot, seller: str) -> Iterator[Row]:
    """Yield the values of INSERT_TRADE_NO for payments that are newly paid."""
    for payment in order.payments.values():
        known = before.payments.get(payment.payment_sn)
        if payment.is_paid and payment.trade_no and not (known and known.is_paid):
            channel = int(payment.payment_type)
            yield payment.trade_no, channel, seller, payment.payment_sn, order.updated_ms


def changed_refunds(order: Order, before: OrderSnapshot) -> Iterator[tuple[Refund, str | None, int | None]]:
    """Yield the refunds to store, each with `surplus_of` and `try_ms`."""
    for refund in order.refunds.values():
        if refund is not before.refunds.get(refund.refund_sn):
            surplus_of = refund.payment_sn if refund.surplus else None
            yield refund, surplus_of, order.updated_ms if refund.state in DUE_REFUND else None
