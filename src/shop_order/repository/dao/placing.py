"""New orders: those of one batch are stored together, by a handful of statements.

Those of a buyer whose cart or limit hinders one are stored alone. Rows are locked in one order (buyers first,
sorted), so that the batches of several processes wait for each other instead of deadlocking. On a file every
statement hands Python's lock over and takes it back, which costs more than the insert itself.
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
from shop_order.repository.dao.engine.base import ALONE, Row, Session
from shop_order.repository.dao.mapping import insert, insertion, marks
from shop_order.repository.dao.rows import EVENT_COLUMNS, ITEM_COLUMNS, ORDER_COLUMNS, OUTBOX_COLUMNS

KEEP_KEYS_MS = 86_400_000
TOMBSTONE = 0  # an order id no order has
WantedKey = tuple[str, str, int]  # scope, key, and the time up to which it is over

KEY_COLUMNS = 'scope, "key", command_hash, order_sn, payment_sn, created_ms'
INTO_CLAIM = "INSERT INTO order_sn_claim (order_sn, order_id, created_ms) VALUES"
INTO_KEY = f"INSERT INTO idempotency_key ({KEY_COLUMNS}) VALUES"
INTO_ORDER = f"INSERT INTO order_info ({ORDER_COLUMNS}) VALUES"
INTO_ITEM = f"INSERT INTO order_goods ({ITEM_COLUMNS}, created_at, updated_at) VALUES"
INTO_EVENT = f"INSERT INTO order_event ({EVENT_COLUMNS}) VALUES"
INTO_OUTBOX = f"INSERT INTO outbox ({OUTBOX_COLUMNS}) VALUES"
INTO_LOCK = "INSERT INTO cart_version (user, version) VALUES"
LOCK = " ON DUPLICATE KEY UPDATE version = version"
FIND_CLAIM = "SELECT order_id FROM order_sn_claim WHERE order_sn = ?"
PROOF = "SELECT order_id FROM order_sn_claim WHERE order_sn = ? AND order_id = ?"


@dataclass(frozen=True, slots=True)
class Placing:
    """A new order as its rows, made before the writer's turn, and what must be so when it is stored."""

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


def placing(
    order: Order,
    next_id: Callable[[], int],
    cart_version: int | None,
    key: Key | None,
    unpaid_limit: int,
    in_time: Callable[[], bool],
) -> Placing:
    """The rows of a new order, its events and outbox."""
    events = []
    asked = origin()
    last_hash = order.last_hash  # the order's own moves on only when it is stored
    for happened in order.new_events:
        event = seal(happened, id=next_id(), order_sn=order.order_sn, prev_hash=last_hash)
        last_hash = event.hash
        events.append(event)
    return Placing(
        order_id=order.id,
        order_sn=order.order_sn,
        user=order.user,
        goods=[item.goods for item in order.items],
        cart_version=cart_version,
        key=key,
        unpaid_limit=unpaid_limit,
        claim=(order.order_sn, order.id, order.created_ms),
        order=rows.order_row(order),
        items=rows.item_rows(order),
        events=[rows.event_row(event) for event in events],
        outbox=[rows.outbox_row(event, asked) for event in events],
        last_hash=last_hash,
        in_time=in_time,
    )


async def store_one(session: Session, new: Placing) -> None:
    """Raises NumberTaken, PlacingGivenUp, KeyTaken, TooManyUnpaid, CartChanged."""
    await lock_buyers(session, buyers([new]))
    if not await claim(session, new):
        return  # our own row: the answer to an earlier commit was lost
    if not new.in_time():
        raise PlacingGivenUp
    if new.key:
        await take_key(session, new.key, new.order_sn, "")
    if new.unpaid_limit and await count_unpaid(session, new.user) >= new.unpaid_limit:
        raise TooManyUnpaid(new.unpaid_limit)
    if new.cart_version is not None and not await take_from_carts(session, [new]):
        raise CartChanged
    await store_rows(session, [new])


async def store_many(session: Session, news: Sequence[Placing]) -> Sequence[Any] | None:
    """The same for a batch, ALONE for those of hindered buyers; None, with rows left to be undone, if one of
    the others meets a conflict."""
    await lock_buyers(session, buyers(news))
    hindered = await over_limits(session, news) | await with_other_carts(session, news)
    free = [new for new in news if new.user not in hindered]
    if free and not await _stored(session, free):
        return None
    return [ALONE if new.user in hindered else None for new in news]


async def _stored(session: Session, news: Sequence[Placing]) -> bool:
    if not all(new.in_time() for new in news):
        return False
    claims = sorted((new.claim for new in news), key=tuple)
    if await insert(session, INTO_CLAIM, claims, session.dialect.unless_there) < len(claims):
        return False
    keys = sorted((key_row(new.key, new.order_sn, "") for new in news if new.key), key=tuple)
    if await insert(session, INTO_KEY, keys, session.dialect.unless_there) < len(keys):
        return False
    from_carts = [new for new in news if new.cart_version is not None]
    if from_carts and not await take_from_carts(session, from_carts):
        return False
    await store_rows(session, news)
    return True


async def lock_buyers(session: Session, users: Sequence[int]) -> None:
    """Let no other process count these buyers' unpaid orders, or use their keys and carts, until the end."""
    if users and not session.dialect.one_writer:
        await session.run(insertion(INTO_LOCK, 2, len(users), LOCK), [v for u in users for v in (u, 0)])


def buyers(news: Sequence[Placing]) -> list[int]:
    """Those who must be locked, in one order."""
    return sorted({new.user for new in news if new.unpaid_limit or new.cart_version is not None})


async def store_rows(session: Session, news: Sequence[Placing]) -> None:
    """The rows that nothing hinders any more."""
    await insert(session, INTO_ORDER, [new.order for new in news])
    await insert(session, INTO_ITEM, [row for new in news for row in new.items])
    await insert(session, INTO_EVENT, [row for new in news for row in new.events])
    await insert(session, INTO_OUTBOX, [row for new in news for row in new.outbox])
    session.prove(PROOF, (news[0].order_sn, news[0].order_id))


async def over_limits(session: Session, news: Sequence[Placing]) -> set[int]:
    """Buyers who, with those of this batch, would have more unpaid orders than they may."""
    limits = {new.user: new.unpaid_limit for new in news if new.unpaid_limit}
    if not limits:
        return set()
    sql = (
        f"SELECT user, count(*) FROM order_info WHERE user IN ({marks(len(limits))}) AND status = ?"
        " GROUP BY user"
    )
    unpaid = Counter(new.user for new in news)
    for user, count in await session.all(sql, [*limits, int(OrderStatus.PENDING)]):
        unpaid[user] += count
    return {user for user, limit in limits.items() if unpaid[user] > limit}


async def with_other_carts(session: Session, news: Sequence[Placing]) -> set[int]:
    """Buyers whose cart is not what they bought any more, or who buy it twice in this batch."""
    bought = [(new.user, new.cart_version) for new in news if new.cart_version is not None]
    if not bought:
        return set()
    clicks = Counter(user for user, _ in bought)
    sql = f"SELECT user, version FROM cart_version WHERE user IN ({marks(len(clicks))})"
    versions = {row[0]: row[1] for row in await session.all(sql, sorted(clicks))}
    return {user for user, version in bought if clicks[user] > 1 or versions.get(user) != version}


async def claim(session: Session, new: Placing) -> bool:
    """Take the number; False if this very order has it. Raises NumberTaken, PlacingGivenUp."""
    if await insert(session, INTO_CLAIM, [new.claim], session.dialect.unless_there):
        return True
    (owner,) = await session.first(FIND_CLAIM, (new.order_sn,)) or (TOMBSTONE,)
    if owner == TOMBSTONE:
        raise PlacingGivenUp
    if owner != new.order_id:
        raise NumberTaken
    return False


async def take_key(session: Session, key: Key, order_sn: str, payment_sn: str) -> None:
    """Store what the key led to; one whose time is over gives way. Raises KeyTaken."""
    row = key_row(key, order_sn, payment_sn)
    if await insert(session, INTO_KEY, [row], session.dialect.unless_there):
        return
    over_ms = key.created_ms - KEEP_KEYS_MS
    if record := (await find_keys(session, [(key.scope, key.key, over_ms)]))[0]:
        raise KeyTaken(record)
    sql = (
        "UPDATE idempotency_key SET command_hash = ?, order_sn = ?, payment_sn = ?, created_ms = ?"
        ' WHERE scope = ? AND "key" = ?'
    )
    await session.run(sql, (key.command_hash, order_sn, payment_sn, key.created_ms, key.scope, key.key))


def key_row(key: Key, order_sn: str, payment_sn: str) -> Row:
    """Values of KEY_COLUMNS."""
    return (key.scope, key.key, key.command_hash, order_sn, payment_sn, key.created_ms)


async def find_keys(session: Session, wanted: Sequence[WantedKey]) -> list[KeyRecord | None]:
    """What each key led to, if it is younger than its third part."""
    either = " OR ".join(['(scope = ? AND "key" = ?)'] * len(wanted))
    sql = f"SELECT {KEY_COLUMNS} FROM idempotency_key WHERE {either}"
    found = {(row[0], row[1]): row for row in await session.all(sql, [v for one in wanted for v in one[:2]])}
    records: list[KeyRecord | None] = []
    for scope, key, over_ms in wanted:
        record = None
        if row := found.get((scope, key)):
            *_, command_hash, order_sn, payment_sn, created_ms = row
            if created_ms > over_ms:
                record = KeyRecord(bytes(command_hash), order_sn, payment_sn)
        records.append(record)
    return records


async def take_from_carts(session: Session, news: Sequence[Placing]) -> bool:
    """Delete the bought lines of carts; False if somebody touched one of them meanwhile."""
    either = " OR ".join(["(user = ? AND version = ?)"] * len(news))
    carts = sorted((new.user, new.cart_version) for new in news)
    sql = f"UPDATE cart_version SET version = version + 1 WHERE {either}"
    if await session.run(sql, [value for cart in carts for value in cart]) < len(news):
        return False
    either = " OR ".join([f"(user = ? AND goods IN ({marks(len(new.goods))}))" for new in news])
    sql = f"DELETE FROM shopping_cart WHERE {either}"
    await session.run(sql, [value for new in news for value in (new.user, *new.goods)])
    return True


async def count_unpaid(session: Session, user: int) -> int:
    """How many of the user's orders wait for payment."""
    sql = "SELECT count(*) FROM order_info WHERE user = ? AND status = ?"
    (count,) = await session.first(sql, (user, int(OrderStatus.PENDING))) or (0,)
    return int(count)
