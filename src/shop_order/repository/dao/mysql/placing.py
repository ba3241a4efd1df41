"""New orders in MySQL: those of one batch are stored together, by a handful of statements.

Those of a buyer whose cart or limit hinders one are stored alone. Rows are locked in one order (buyers first,
sorted), so that the batches of several processes wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from shop_order.domain.errors import CartChanged, PlacingGivenUp, TooManyUnpaid
from shop_order.domain.ports import Key, KeyRecord, KeyTaken, NumberTaken
from shop_order.domain.status import OrderStatus
from shop_order.repository.dao import rows
from shop_order.repository.dao.mysql.database import ALONE
from shop_order.repository.dao.mysql.session import Session
from shop_order.repository.dao.placing import (
    INTO_CLAIM,
    INTO_EVENT,
    INTO_ITEM,
    INTO_KEY,
    INTO_ORDER,
    INTO_OUTBOX,
    KEEP_KEYS_MS,
    TOMBSTONE,
    Placing,
    insertion,
    key_row,
)
from shop_order.repository.dao.rows import Row

MOST_ROWS = 512  # of one statement: its text is kept for the next one of its length
# A row that is there already stays as it is, is locked, and does not count; IGNORE would also ignore faults.
UNLESS_THERE = " ON DUPLICATE KEY UPDATE created_ms = created_ms"
INTO_LOCK = "INSERT INTO cart_version (user, version) VALUES"
LOCK = " ON DUPLICATE KEY UPDATE version = version"
FIND_CLAIM = "SELECT order_id FROM order_sn_claim WHERE order_sn = ?"
PROOF = "SELECT order_id FROM order_sn_claim WHERE order_sn = ? AND order_id = ?"


async def store_one(session: Session, new: Placing) -> None:
    """Raises NumberTaken, PlacingGivenUp, KeyTaken, TooManyUnpaid, CartChanged."""
    await lock_buyers(session, [new])
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
    await lock_buyers(session, news)
    hindered = await over_limits(session, news) | await with_other_carts(session, news)
    free = [new for new in news if new.user not in hindered]
    if free and not await _stored(session, free):
        return None
    return [ALONE if new.user in hindered else None for new in news]


async def _stored(session: Session, news: Sequence[Placing]) -> bool:
    if not all(new.in_time() for new in news):
        return False
    claims = sorted((new.claim for new in news), key=tuple)
    if await insert(session, INTO_CLAIM, claims, UNLESS_THERE) < len(claims):
        return False
    keys = sorted((key_row(new.key, new.order_sn, "") for new in news if new.key), key=tuple)
    if await insert(session, INTO_KEY, keys, UNLESS_THERE) < len(keys):
        return False
    from_carts = [new for new in news if new.cart_version is not None]
    if from_carts and not await take_from_carts(session, from_carts):
        return False
    await store_rows(session, news)
    return True


async def lock_buyers(session: Session, news: Sequence[Placing]) -> None:
    """Let no other process count these buyers' unpaid orders, or use their keys and carts, until the end."""
    users = sorted({new.user for new in news if new.unpaid_limit or new.cart_version is not None})
    if users:
        await session.run(insertion(INTO_LOCK, 2, len(users), LOCK), [v for u in users for v in (u, 0)])


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
        f"SELECT user, count(*) FROM order_info WHERE user IN ({rows.marks(len(limits))}) AND status = ?"
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
    sql = f"SELECT user, version FROM cart_version WHERE user IN ({rows.marks(len(clicks))})"
    versions = {row[0]: row[1] for row in await session.all(sql, sorted(clicks))}
    return {user for user, version in bought if clicks[user] > 1 or versions.get(user) != version}


async def insert(session: Session, into: str, values: Sequence[Row], otherwise: str = "") -> int:
    """Insert rows by one statement, or as few as MOST_ROWS allows; how many came in."""
    done = 0
    for at in range(0, len(values), MOST_ROWS):
        part = values[at : at + MOST_ROWS]
        statement = insertion(into, len(part[0]), len(part), otherwise)
        done += await session.run(statement, [value for row in part for value in row])
    return done


async def claim(session: Session, new: Placing) -> bool:
    """Take the number; False if this very order has it. Raises NumberTaken, PlacingGivenUp."""
    if await insert(session, INTO_CLAIM, [new.claim], UNLESS_THERE):
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
    if await insert(session, INTO_KEY, [row], UNLESS_THERE):
        return
    over_ms = key.created_ms - KEEP_KEYS_MS
    if record := (await find_keys(session, [(key.scope, key.key, over_ms)]))[0]:
        raise KeyTaken(record)
    sql = (
        "UPDATE idempotency_key SET command_hash = ?, order_sn = ?, payment_sn = ?, created_ms = ?"
        ' WHERE scope = ? AND "key" = ?'
    )
    await session.run(sql, (key.command_hash, order_sn, payment_sn, key.created_ms, key.scope, key.key))


async def find_keys(session: Session, wanted: Sequence[tuple[str, str, int]]) -> list[KeyRecord | None]:
    """What each key led to, if it is younger than its third part."""
    either = " OR ".join(['(scope = ? AND "key" = ?)'] * len(wanted))
    sql = (
        'SELECT scope, "key", created_ms, command_hash, order_sn, payment_sn FROM idempotency_key'
        f" WHERE {either}"
    )
    found = {(row[0], row[1]): row for row in await session.all(sql, [v for one in wanted for v in one[:2]])}
    records: list[KeyRecord | None] = []
    for scope, key, over_ms in wanted:
        row = found.get((scope, key))
        young = row is not None and row[2] > over_ms
        records.append(KeyRecord(bytes(row[3]), row[4], row[5]) if row and young else None)
    return records


async def take_from_carts(session: Session, news: Sequence[Placing]) -> bool:
    """Delete the bought lines of carts; False if somebody touched one of them meanwhile."""
    either = " OR ".join(["(user = ? AND version = ?)"] * len(news))
    carts = sorted((new.user, new.cart_version) for new in news)
    sql = f"UPDATE cart_version SET version = version + 1 WHERE {either}"
    if await session.run(sql, [value for cart in carts for value in cart]) < len(news):
        return False
    either = " OR ".join([f"(user = ? AND goods IN ({rows.marks(len(new.goods))}))" for new in news])
    sql = f"DELETE FROM shopping_cart WHERE {either}"
    await session.run(sql, [value for new in news for value in (new.user, *new.goods)])
    return True


async def count_unpaid(session: Session, user: int) -> int:
    """How many of the user's orders wait for payment."""
    sql = "SELECT count(*) FROM order_info WHERE user = ? AND status = ?"
    (count,) = await session.first(sql, (user, int(OrderStatus.PENDING))) or (0,)
    return int(count)
