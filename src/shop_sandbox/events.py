"""The tables that neighbours keep of order events, and how an event changes them.

Each event is applied once, by its id (`inbox`); `order_copy` only moves to a higher version.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any

import orjson

SCHEMA = """
CREATE TABLE IF NOT EXISTS inbox (
  event_id TEXT PRIMARY KEY,
  order_sn TEXT NOT NULL,
  type TEXT NOT NULL,
  received_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inbox_attempt (
  event_id TEXT PRIMARY KEY,
  attempts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letter (
  event_id TEXT PRIMARY KEY,
  order_sn TEXT NOT NULL,
  type TEXT NOT NULL,
  why TEXT NOT NULL,
  body TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS order_copy (
  order_sn TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  status INTEGER NOT NULL,
  user_id INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS order_lines (
  order_sn TEXT PRIMARY KEY,
  lines TEXT NOT NULL,
  pay_fen INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS order_notification (
  event_id TEXT PRIMARY KEY,
  order_sn TEXT NOT NULL,
  user_id INTEGER NOT NULL,
  text TEXT NOT NULL,
  created_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS sales (
  goods_id INTEGER PRIMARY KEY,
  orders INTEGER NOT NULL,
  nums INTEGER NOT NULL,
  amount_fen INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS consumption_record (
  order_sn TEXT PRIMARY KEY,
  user_id INTEGER NOT NULL,
  pay_fen INTEGER NOT NULL,
  completed_ms INTEGER NOT NULL
) WITHOUT ROWID;
"""


RESTOCKING = ("refund.returned", "refund.succeeded", "refund.settled")  # types whose goods may come back


class BadEvent(ValueError):
    """The body is not a valid order event."""


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent of the order service; `body` is the received text."""

    id: str
    type: str
    order_sn: str
    version: int
    old_status: int
    new_status: int
    user_id: int
    data: dict[str, Any]
    body: bytes
    traceparent: str
    request_id: str

    @property
    def restocks(self) -> bool:
        """Whether the goods of its refund return to the stock."""
        return self.type in RESTOCKING and self.data.get("restock") is True


def event_id(body: bytes) -> str:
    """The id of an event that may be invalid otherwise, or ""."""
    try:
        found = orjson.loads(body)["id"]
    except (ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) and len(found) <= 64 else ""


def parse(body: bytes) -> Event:
    """The event in a received body. Raises BadEvent."""
    try:
        envelope = orjson.loads(body)
        if envelope["specversion"] != "1.0":
            raise BadEvent("specversion must be 1.0")
        data = envelope["data"]
        event = Event(
            id=envelope["id"],
            type=envelope["type"],
            order_sn=envelope["subject"],
            version=data["version"],
            old_status=data.get("old_status") or 0,
            new_status=data.get("new_status") or 0,
            user_id=data.get("user_id") or 0,
            data=data,
            body=body,
            traceparent=str(envelope.get("traceparent", "")),
            request_id=str(envelope.get("requestid", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadEvent(f"not a CloudEvent: {error!r}") from error
    texts = (event.id, event.type, event.order_sn)
    numbers = (event.version, event.old_status, event.new_status, event.user_id)
    if {type(text) for text in texts} != {str} or not all(0 < len(text) <= 64 for text in texts):
        raise BadEvent("id, type and subject must be short texts")
    if {type(number) for number in numbers} != {int}:
        raise BadEvent("version, old_status, new_status and user_id must be whole numbers")
    if event.type == "order.created":
        if type(event.data.get("pay_fen")) is not int:
            raise BadEvent("order.created needs pay_fen")
        _check_lines(event.data, "goods_id", "nums", "price_fen")
    if event.type.startswith("refund.") and type(event.data.get("refund_sn")) is not str:
        raise BadEvent("an event of a refund needs refund_sn")
    if event.restocks:
        _check_lines(event.data, "goods_id", "nums")
    return event


def _check_lines(data: dict[str, Any], *names: str) -> None:
    lines = data.get("lines")
    if not isinstance(lines, list):
        raise BadEvent("lines are needed")
    for line in lines:
        numbers = [line.get(name) for name in names] if isinstance(line, dict) else [None]
        if {type(number) for number in numbers} != {int}:
            raise BadEvent(f"a line must have {', '.join(names)}")


def received_ids(connection: sqlite3.Connection, ids: list[str]) -> set[str]:
    """The ids of these that were received before."""
    select = f"SELECT event_id FROM inbox WHERE event_id IN ({', '.join('?' * len(ids))})"
    return {one for (one,) in connection.execute(select, ids)}


def mark_received(connection: sqlite3.Connection, event: Event, now_ms: int) -> bool:
    """Mark the event as received; False if it was already."""
    inserted = connection.execute(
        "INSERT INTO inbox VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (event.id, event.order_sn, event.type, now_ms),
    )
    return inserted.rowcount > 0


def record(connection: sqlite3.Connection, event: Event, now_ms: int) -> None:
    """Mark the event as received and apply it. Idempotent."""
    if not mark_received(connection, event, now_ms):
        return
    connection.execute(
        "INSERT INTO order_copy VALUES (?, ?, ?, ?) ON CONFLICT (order_sn) DO UPDATE"
        " SET version = excluded.version, status = excluded.status WHERE excluded.version > version",
        (event.order_sn, event.version, event.new_status, event.user_id),
    )
    if event.type == "order.created":
        lines = orjson.dumps(event.data["lines"]).decode()
        connection.execute(
            "INSERT INTO order_lines VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (event.order_sn, lines, event.data["pay_fen"]),
        )
    elif text := _text(event):
        connection.execute(
            "INSERT INTO order_notification VALUES (?, ?, ?, ?, ?)",
            (event.id, event.order_sn, event.user_id, text, now_ms),
        )
    elif event.type == "order.completed":
        _record_sales(connection, event, now_ms)


def count_failure(connection: sqlite3.Connection, event_id: str) -> int:
    """Count a failed attempt and return the total."""
    row = connection.execute(
        "INSERT INTO inbox_attempt VALUES (?, 1) ON CONFLICT (event_id) DO UPDATE SET attempts = attempts + 1"
        " RETURNING attempts",
        (event_id,),
    ).fetchall()
    return int(row[0][0])


def store_dead_letter(
    connection: sqlite3.Connection, letter: tuple[str, str, str, str, str], now_ms: int
) -> None:
    """Store (event_id, order_sn, type, why, body) for a person to handle."""
    connection.execute(
        "INSERT INTO dead_letter VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING", (*letter, now_ms)
    )
    connection.execute(
        "INSERT INTO inbox VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (letter[0], letter[1], letter[2], now_ms),
    )


def _text(event: Event) -> str:
    """What the buyer is told about an event; empty if nothing."""
    data, of = event.data, f"您的订单 {event.order_sn} "
    match event.type:
        case "order.shipped":
            return f"{of}已发货：{data.get('logistics_company', '')} {data.get('logistics_no', '')}"
        case "refund.approved" if data.get("type") == "return":
            return f"{of}的退货申请已通过，请寄回商品并填写运单号"
        case "refund.rejected":
            return f"{of}的退款申请未通过"
        case "refund.succeeded" | "refund.settled":
            amount = int(data.get("amount_fen", 0))
            return f"{of}已退款 ¥{amount // 100}.{amount % 100:02d}"
    return ""


def _record_sales(connection: sqlite3.Connection, event: Event, now_ms: int) -> None:
    row = connection.execute(
        "SELECT lines, pay_fen FROM order_lines WHERE order_sn = ?", (event.order_sn,)
    ).fetchone()
    lines, pay_fen = row or ("[]", 0)
    connection.execute(
        "INSERT INTO consumption_record VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (event.order_sn, event.user_id, pay_fen, now_ms),
    )
    for line in orjson.loads(lines):
        connection.execute(
            "INSERT INTO sales VALUES (?, 1, ?, ?) ON CONFLICT (goods_id) DO UPDATE SET orders = orders + 1,"
            " nums = nums + excluded.nums, amount_fen = amount_fen + excluded.amount_fen",
            (line["goods_id"], line["nums"], line["nums"] * line["price_fen"]),
        )
