"""The inventory's tables and the transitions of a stock lease.

Every change of stock is conditional and relative (`available - ?` if enough is available); a value that was
read is never written back. available + reserved + sold = stocked holds for every row at every commit.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from shop_order.api.proto.shop import neighbours_pb2 as pb

MAX_LINES = 100
MAX_NUMS = 1_000_000
MAX_LEASE_S = 3_600
DEFAULT_LEASE_S = 60

Lines = tuple[tuple[int, int], ...]

SCHEMA = """
CREATE TABLE IF NOT EXISTS stock (
  goods_id INTEGER PRIMARY KEY,
  available INTEGER NOT NULL CHECK (available >= 0),
  reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
  sold INTEGER NOT NULL DEFAULT 0 CHECK (sold >= 0),
  stocked INTEGER NOT NULL,
  CHECK (available + reserved + sold = stocked)
);
CREATE TABLE IF NOT EXISTS lease (
  order_sn TEXT PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('reserved', 'confirmed', 'released', 'tombstone')),
  lines TEXT NOT NULL,
  until_ms INTEGER NOT NULL,
  check_ms INTEGER NOT NULL,
  checks INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lease_due ON lease (check_ms) WHERE state = 'reserved';
CREATE TABLE IF NOT EXISTS stock_return (
  return_sn TEXT PRIMARY KEY,
  order_sn TEXT NOT NULL,
  lines TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stock_return_order ON stock_return (order_sn);
"""

_TAKE = (
    "UPDATE stock SET available = available - ?2, reserved = reserved + ?2"
    " WHERE goods_id = ?1 AND available >= ?2"
)
_PUT_BACK = "UPDATE stock SET available = available + ?2, reserved = reserved - ?2 WHERE goods_id = ?1"


def merge_lines(lines: Iterable[pb.Line]) -> Lines:
    """The lines sorted by goods with quantities added up; () if they are invalid."""
    nums_by_goods: dict[int, int] = {}
    for line in lines:
        if line.goods_id <= 0 or not 0 < line.nums <= MAX_NUMS:
            return ()
        nums_by_goods[line.goods_id] = nums_by_goods.get(line.goods_id, 0) + line.nums
    if len(nums_by_goods) > MAX_LINES or any(nums > MAX_NUMS for nums in nums_by_goods.values()):
        return ()
    return tuple(sorted(nums_by_goods.items()))


def encode_lines(lines: Lines) -> str:
    """The lines as text, such as `101:2,102:1`."""
    return ",".join([f"{goods_id}:{nums}" for goods_id, nums in lines])


def decode_lines(text: str) -> Lines:
    """The lines in a text of `encode_lines`."""
    pairs = (pair.split(":") for pair in text.split(",")) if text else ()
    return tuple((int(goods_id), int(nums)) for goods_id, nums in pairs)


def reserve(connection: sqlite3.Connection, request: pb.ReserveRequest, now_ms: int) -> pb.Result:
    """Reserve all lines or none. Idempotent. Reasons: OUT_OF_STOCK, TOMBSTONE, MISMATCH, INVALID."""
    order_sn, lines = request.order_sn, merge_lines(request.lines)
    lease_s = request.lease_s or DEFAULT_LEASE_S
    if not order_sn or len(order_sn) > 64 or not lines or not 0 < lease_s <= MAX_LEASE_S:
        return pb.Result(key=order_sn, reason="INVALID")
    until_ms = now_ms + lease_s * 1000
    text = encode_lines(lines)
    execute = connection.execute
    inserted = execute(
        "INSERT INTO lease (order_sn, state, lines, until_ms, check_ms) VALUES (?, 'reserved', ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (order_sn, text, until_ms, until_ms),
    )
    if inserted.rowcount == 0:
        return _existing_lease(connection, order_sn, text)
    short = [line[0] for line in lines if execute(_TAKE, line).rowcount == 0]
    if short:
        # Undo by hand: a savepoint per request would cost every order, not just those out of stock.
        connection.executemany(_PUT_BACK, [line for line in lines if line[0] not in short])
        execute("DELETE FROM lease WHERE order_sn = ?", (order_sn,))
        return pb.Result(key=order_sn, reason="OUT_OF_STOCK", goods_ids=short)
    return pb.Result(key=order_sn, ok=True)


def _existing_lease(connection: sqlite3.Connection, order_sn: str, text: str) -> pb.Result:
    state, lines = connection.execute(
        "SELECT state, lines FROM lease WHERE order_sn = ?", (order_sn,)
    ).fetchone()
    if state in ("tombstone", "released"):
        return pb.Result(key=order_sn, reason="TOMBSTONE")
    if lines != text:
        return pb.Result(key=order_sn, reason="MISMATCH")
    return pb.Result(key=order_sn, ok=True)


def confirm(connection: sqlite3.Connection, order_sn: str) -> pb.Result:
    """Turn reserved stock into sold stock. Idempotent. Reasons: TOMBSTONE if released, UNKNOWN."""
    moved = connection.execute(
        "UPDATE lease SET state = 'confirmed' WHERE order_sn = ? AND state = 'reserved' RETURNING lines",
        (order_sn,),
    ).fetchall()
    if not moved:
        state = _state(connection, order_sn)
        if state == "confirmed":
            return pb.Result(key=order_sn, ok=True)
        return pb.Result(key=order_sn, reason="TOMBSTONE" if state else "UNKNOWN")
    for goods_id, nums in decode_lines(moved[0][0]):
        connection.execute(
            "UPDATE stock SET reserved = reserved - ?1, sold = sold + ?1 WHERE goods_id = ?2",
            (nums, goods_id),
        )
    return pb.Result(key=order_sn, ok=True)


def release(connection: sqlite3.Connection, order_sn: str) -> pb.Result:
    """Release reserved stock; leaves a tombstone for an unknown order. Idempotent. Reason: CONFIRMED."""
    if not order_sn or len(order_sn) > 64:
        return pb.Result(key=order_sn, reason="INVALID")
    moved = connection.execute(
        "UPDATE lease SET state = 'released' WHERE order_sn = ? AND state = 'reserved' RETURNING lines",
        (order_sn,),
    ).fetchall()
    if moved:
        connection.executemany(_PUT_BACK, decode_lines(moved[0][0]))
        return pb.Result(key=order_sn, ok=True)
    inserted = connection.execute(
        "INSERT INTO lease (order_sn, state, lines, until_ms, check_ms) VALUES (?, 'tombstone', '', 0, 0)"
        " ON CONFLICT DO NOTHING",
        (order_sn,),
    )
    if inserted.rowcount == 0 and _state(connection, order_sn) == "confirmed":
        return pb.Result(key=order_sn, reason="CONFIRMED")
    return pb.Result(key=order_sn, ok=True)


def return_stock(connection: sqlite3.Connection, request: pb.ReturnRequest) -> pb.Result:
    """Take sold stock back, once per return_sn and at most what was sold. UNKNOWN, MISMATCH, INVALID."""
    lines = merge_lines(request.lines)
    if not request.return_sn or len(request.return_sn) > 64 or not lines:
        return pb.Result(key=request.return_sn, reason="INVALID")
    text = encode_lines(lines)
    known = connection.execute(
        "SELECT order_sn, lines FROM stock_return WHERE return_sn = ?", (request.return_sn,)
    ).fetchone()
    if known:
        same = known == (request.order_sn, text)
        return pb.Result(key=request.return_sn, ok=same, reason="" if same else "MISMATCH")
    lease = connection.execute(
        "SELECT lines FROM lease WHERE order_sn = ? AND state = 'confirmed'", (request.order_sn,)
    ).fetchone()
    if lease is None:
        return pb.Result(key=request.return_sn, reason="UNKNOWN")
    left = dict(decode_lines(lease[0]))
    earlier = "SELECT lines FROM stock_return WHERE order_sn = ?"
    for (returned,) in connection.execute(earlier, (request.order_sn,)).fetchall():
        for goods_id, nums in decode_lines(returned):
            left[goods_id] -= nums
    if any(left.get(goods_id, 0) < nums for goods_id, nums in lines):
        return pb.Result(key=request.return_sn, reason="MISMATCH")
    connection.execute(
        "INSERT INTO stock_return VALUES (?, ?, ?)", (request.return_sn, request.order_sn, text)
    )
    for goods_id, nums in lines:
        connection.execute(
            "UPDATE stock SET sold = sold - ?1, available = available + ?1 WHERE goods_id = ?2",
            (nums, goods_id),
        )
    return pb.Result(key=request.return_sn, ok=True)


def returned_quantities(connection: sqlite3.Connection, after: str, upto: str) -> dict[str, Counter[int]]:
    """Returned quantities by order, for order numbers above `after` and up to `upto`."""
    found: dict[str, Counter[int]] = {}
    select = "SELECT order_sn, lines FROM stock_return WHERE order_sn > ? AND order_sn <= ?"
    for order_sn, lines in connection.execute(select, (after, upto)):
        found.setdefault(order_sn, Counter()).update(dict(decode_lines(lines)))
    return found


def due(connection: sqlite3.Connection, now_ms: int, limit: int) -> list[tuple[str, int]]:
    """Expired reserved leases whose next check is due: (order_sn, number of checks so far)."""
    return connection.execute(
        "SELECT order_sn, checks FROM lease WHERE state = 'reserved' AND check_ms <= ?"
        " ORDER BY check_ms LIMIT ?",
        (now_ms, limit),
    ).fetchall()


def extend(connection: sqlite3.Connection, order_sn: str, until_ms: int, check_ms: int) -> None:
    """Extend the lease of a pending order to `until_ms`."""
    connection.execute(
        "UPDATE lease SET until_ms = ?, check_ms = ?, checks = 0 WHERE order_sn = ? AND state = 'reserved'",
        (until_ms, check_ms, order_sn),
    )


def postpone(connection: sqlite3.Connection, rows: Sequence[tuple[int, str]]) -> None:
    """Keep these leases reserved and check each again at its time: (check_ms, order_sn)."""
    connection.executemany(
        "UPDATE lease SET check_ms = ?, checks = checks + 1 WHERE order_sn = ? AND state = 'reserved'", rows
    )


def set_available(connection: sqlite3.Connection, goods_id: int, available: int) -> None:
    """Set the available quantity; reserved and sold quantities stay."""
    connection.execute(
        "INSERT INTO stock (goods_id, available, stocked) VALUES (?1, ?2, ?2)"
        " ON CONFLICT (goods_id) DO UPDATE SET stocked = stocked + ?2 - available, available = ?2",
        (goods_id, available),
    )


def _state(connection: sqlite3.Connection, order_sn: str) -> str:
    row = connection.execute("SELECT state FROM lease WHERE order_sn = ?", (order_sn,)).fetchone()
    return row[0] if row else ""
