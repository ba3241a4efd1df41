"""Storing new orders: a batch is stored by a handful of statements.

Orders that conflict with their buyer's cart or limit are stored one by one. Rows are locked in a fixed order
(buyers first, sorted), so that processes wait for each other instead of deadlocking. In SQLite each statement
releases and reacquires Python's lock, which costs more than the insert itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import CartChanged, PlacingGivenUp, TooManyUnpaid
from shop_order.domain.event.order_events import seal
from shop_order.domain.ports import Key, KeyRecord, KeyTaken, NumberTaken
from shop_order.domain.status import OrderStatus
from shop_order.pkg.tracing import origin
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.base import RUN_ALONE, Row, Session, insert, insertion, marks
from shop_order.repository.dao.rows import EVENT, ITEM_COLUMNS, ORDER, OUTBOX_COLUMNS

KEY_TTL_MS = 86_400_000
TOMBSTONE = 0  # the order id in the claim of a tombstone; no order has it
KeyQuery = tuple[str, str, int]  # scope, key, and the creation time up to which a key has expired

KEY_COLUMNS = 'scope, "key", command_hash, order_sn, payment_sn, created_ms'
INSERT_CLAIM = "INSERT INTO order_sn_claim (order_sn, order_id, created_ms) VALUES"
INSERT_KEY = f"INSERT INTO idempotency_key ({KEY_COLUMNS}) VALUES"
INSERT_ORDER = f"INSERT INTO order_info ({ORDER.select}) VALUES"
INSERT_ITEM = f"INSERT INTO order_goods ({ITEM_COLUMNS}, created_at, updated_at) VALUES"
INSERT_EVENT = f"INSERT INTO order_event ({EVENT.select}) VALUES"
INSERT_OUTBOX = f"INSERT INTO outbox ({OUTBOX_COLUMNS}) VALUES"
INSERT_CART_VERSION = "INSERT INTO cart_version (user, version) VALUES"
LOCK_EXISTING = " ON DUPLICATE KEY UPDATE version = version"
FIND_CLAIM = "SELECT order_id FROM order_sn_claim WHERE order_sn = ?"
COMMIT_CHECK = "SELECT order_id FROM order_sn_claim WHERE order_sn = ? AND order_id = ?"


@dataclass(frozen=True, slots=True)
class NewOrder:
    """The rows of a new order, prepared outside the writer, and the conditions to check when it is stored."""

    order_id: int
    order_sn: str
    user: int
    goods: Sequence[int]
    cart_version: int | None
    key: Key | None
    unpaid_limit: int
    claim: Row
    order: Row
    items: Sequence[Row]
    events: Sequence[Row]
    outbox: Sequence[Row]
    last_hash: bytes
    in_time: Callable[[], bool]


def prepare(
    order: Order,
    next_id: Callable[[], int],
    cart_version: int | None,
    key: Key | None,
    unpaid_limit: int,
    in_time: Callable[[], bool],
) -> NewOrder:
    """Prepare the rows of an order with its events."""
    events = []
    caller = origin()
    last_hash = order.last_hash  # the order keeps its own until it is stored
    for happened in order.new_events:
        event = seal(happened, id=next_id(), order_sn=order.order_sn, prev_hash=last_hash)
        last_hash = event.hash
        events.append(event)
    return NewOrder(
        order_id=order.id,
        order_sn=order.order_sn,
        user=order.user,
        goods=[item.goods for item in order.items],
        cart_version=cart_version,
        key=key,
        unpaid_limit=unpaid_limit,
        claim=(order.order_sn, order.id, order.created_ms),
        order=rows.ORDER.row(order),
        items=rows.item_rows(order),
        events=[rows.EVENT.row_of(event) for event in events],
        outbox=[rows.outbox_row(event, caller) for event in events],
        last_hash=last_hash,
        in_time=in_time,
    )


async def store_one(session: Session, new: NewOrder) -> None:
    """Store one order. Raises NumberTaken, PlacingGivenUp, KeyTaken, TooManyUnpaid, CartChanged."""
    await lock_buyers(session, buyers([new]))
    if not await claim(session, new):
        return  # stored already: the response to an earlier commit was lost
    if not new.in_time():
        raise PlacingGivenUp
    if new.key:
        await take_key(session, new.key, new.order_sn, "")
    if new.unpaid_limit and await count_unpaid(session, new.user) >= new.unpaid_limit:
        raise TooManyUnpaid(new.unpaid_limit)
    if new.cart_version is not None and not await take_from_carts(session, [new]):
        raise CartChanged
    await insert_rows(session, [new])


async def store_many(session: Session, orders: Sequence[NewOrder]) -> Sequence[Any] | None:
    """Store a batch: None for each stored order, RUN_ALONE for those of conflicting buyers.

    None for all, with rows left to be rolled back, if another order meets a conflict.
    """
    await lock_buyers(session, buyers(orders))
    conflicting = await over_limits(session, orders) | await with_changed_carts(session, orders)
    independent = [new for new in orders if new.user not in conflicting]
    if independent and not await _store_batch(session, independent):
        return None
    return [RUN_ALONE if new.user in conflicting else None for new in orders]


async def _store_batch(session: Session, orders: Sequence[NewOrder]) -> bool:
    if not all(new.in_time() for new in orders):
        return False
    claims = sorted((new.claim for new in orders), key=tuple)
    if await insert(session, INSERT_CLAIM, claims, session.dialect.skip_existing) < len(claims):
        return False
    keys = sorted((key_row(new.key, new.order_sn, "") for new in orders if new.key), key=tuple)
    if await insert(session, INSERT_KEY, keys, session.dialect.skip_existing) < len(keys):
        return False
    from_carts = [new for new in orders if new.cart_version is not None]
    if from_carts and not await take_from_carts(session, from_carts):
        return False
    await insert_rows(session, orders)
    return True


async def lock_buyers(session: Session, users: Sequence[int]) -> None:
    """Lock these buyers' unpaid orders, keys and carts against other processes until the transaction ends."""
    if users and not session.dialect.single_writer:
        await session.run(
            insertion(INSERT_CART_VERSION, 2, len(users), LOCK_EXISTING), [v for u in users for v in (u, 0)]
        )


def buyers(orders: Sequence[NewOrder]) -> list[int]:
    """Return the users to lock, sorted."""
    return sorted({new.user for new in orders if new.unpaid_limit or new.cart_version is not None})


async def insert_rows(session: Session, orders: Sequence[NewOrder]) -> None:
    """Insert the rows of orders that meet all conditions."""
    await insert(session, INSERT_ORDER, [new.order for new in orders])
    await insert(session, INSERT_ITEM, [row for new in orders for row in new.items])
    await insert(session, INSERT_EVENT, [row for new in orders for row in new.events])
    await insert(session, INSERT_OUTBOX, [row for new in orders for row in new.outbox])
    session.set_commit_check(COMMIT_CHECK, (orders[0].order_sn, orders[0].order_id))


async def over_limits(session: Session, orders: Sequence[NewOrder]) -> set[int]:
    """Return the buyers whose unpaid orders, with this batch, would exceed their limit."""
    limits = {new.user: new.unpaid_limit for new in orders if new.unpaid_limit}
    if not limits:
        return set()
    sql = (
        f"SELECT user, count(*) FROM order_info WHERE user IN ({marks(len(limits))}) AND status = ?"
        " GROUP BY user"
    )
    unpaid = Counter(new.user for new in orders)
    for user, count in await session.all(sql, [*limits, int(OrderStatus.PENDING)]):
        unpaid[user] += count
    return {user for user, limit in limits.items() if unpaid[user] > limit}


async def with_changed_carts(session: Session, orders: Sequence[NewOrder]) -> set[int]:
    """Return the buyers whose cart has changed, or is ordered twice in this batch."""
    bought = [(new.user, new.cart_version) for new in orders if new.cart_version is not None]
    if not bought:
        return set()
    times = Counter(user for user, _ in bought)
    sql = f"SELECT user, version FROM cart_version WHERE user IN ({marks(len(times))})"
    versions = {row[0]: row[1] for row in await session.all(sql, sorted(times))}
    return {user for user, version in bought if times[user] > 1 or versions.get(user) != version}


async def claim(session: Session, new: NewOrder) -> bool:
    """Claim the order's number; False if this order has it already. Raises NumberTaken, PlacingGivenUp."""
    if await insert(session, INSERT_CLAIM, [new.claim], session.dialect.skip_existing):
        return True
    (owner,) = await session.first(FIND_CLAIM, (new.order_sn,)) or (TOMBSTONE,)
    if owner == TOMBSTONE:
        raise PlacingGivenUp
    if owner != new.order_id:
        raise NumberTaken
    return False


async def take_key(session: Session, key: Key, order_sn: str, payment_sn: str) -> None:
    """Store the result of a key, replacing an expired one. Raises KeyTaken."""
    row = key_row(key, order_sn, payment_sn)
    if await insert(session, INSERT_KEY, [row], session.dialect.skip_existing):
        return
    expired_ms = key.created_ms - KEY_TTL_MS
    if record := (await find_idempotency_records(session, [(key.scope, key.key, expired_ms)]))[0]:
        raise KeyTaken(record)
    sql = (
        "UPDATE idempotency_key SET command_hash = ?, order_sn = ?, payment_sn = ?, created_ms = ?"
        ' WHERE scope = ? AND "key" = ?'
    )
    await session.run(sql, (key.command_hash, order_sn, payment_sn, key.created_ms, key.scope, key.key))


def key_row(key: Key, order_sn: str, payment_sn: str) -> Row:
    """Values of KEY_COLUMNS."""
    return (key.scope, key.key, key.command_hash, order_sn, payment_sn, key.created_ms)


async def find_idempotency_records(session: Session, wanted: Sequence[KeyQuery]) -> list[KeyRecord | None]:
    """Return the result of each key that has not expired, else None."""
    either = " OR ".join(['(scope = ? AND "key" = ?)'] * len(wanted))
    sql = f"SELECT {KEY_COLUMNS} FROM idempotency_key WHERE {either}"
    found = {(row[0], row[1]): row for row in await session.all(sql, [v for one in wanted for v in one[:2]])}
    records: list[KeyRecord | None] = []
    for scope, key, expired_ms in wanted:
        record = None
        if row := found.get((scope, key)):
            *_, command_hash, order_sn, payment_sn, created_ms = row
            if created_ms > expired_ms:
                record = KeyRecord(bytes(command_hash), order_sn, payment_sn)
        records.append(record)
    return records


async def take_from_carts(session: Session, orders: Sequence[NewOrder]) -> bool:
    """Delete the ordered lines of carts; False if one of the carts has changed."""
    either = " OR ".join(["(user = ? AND version = ?)"] * len(orders))
    carts = sorted((new.user, new.cart_version) for new in orders)
    sql = f"UPDATE cart_version SET version = version + 1 WHERE {either}"
    if await session.run(sql, [value for cart in carts for value in cart]) < len(orders):
        return False
    either = " OR ".join([f"(user = ? AND goods IN ({marks(len(new.goods))}))" for new in orders])
    sql = f"DELETE FROM shopping_cart WHERE {either}"
    await session.run(sql, [value for new in orders for value in (new.user, *new.goods)])
    return True


async def count_unpaid(session: Session, user: int) -> int:
    """Count the user's orders that wait for payment."""
    sql = "SELECT count(*) FROM order_info WHERE user = ? AND status = ?"
    (count,) = await session.first(sql, (user, int(OrderStatus.PENDING))) or (0,)
    return int(count)
