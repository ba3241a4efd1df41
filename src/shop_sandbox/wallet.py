"""The wallet: executes the order service's commands, each once, and keeps answers until they are accepted.

Debit, ledger entry and answer are one transaction. A repeated command changes nothing and is answered again.
A command that contradicts an earlier one of its number, or can't be read, changes nothing either: it becomes
a row of `wallet_dead_letter`.
"""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox.database import Database

MAX_BATCH = 500
MAX_FEN = 10**12
MAX_NUMBER = 64  # characters
DEBIT, REFUND = "wallet.debit_requested", "wallet.refund_requested"
SERVICE = "wallet"  # our name in tokens, and in AUTH__WALLET_SERVICES of the order service
DEBITED, REJECTED, REFUNDED = "wallet.debited", "wallet.rejected", "wallet.refunded"

SCHEMA = """
CREATE TABLE IF NOT EXISTS wallet_debit (
  payment_sn TEXT PRIMARY KEY,
  user_id INTEGER NOT NULL,
  amount_fen INTEGER NOT NULL,
  refused TEXT NOT NULL,
  refunded_fen INTEGER NOT NULL DEFAULT 0 CHECK (refunded_fen BETWEEN 0 AND amount_fen)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wallet_refund (
  refund_sn TEXT PRIMARY KEY,
  payment_sn TEXT NOT NULL REFERENCES wallet_debit (payment_sn),
  amount_fen INTEGER NOT NULL,
  ledger_id INTEGER NOT NULL UNIQUE REFERENCES ledger (id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wallet_answer (
  payment_sn TEXT NOT NULL,
  refund_sn TEXT NOT NULL,
  type TEXT NOT NULL,
  body BLOB NOT NULL,
  asked INTEGER NOT NULL DEFAULT 1,
  tries INTEGER NOT NULL DEFAULT 0,
  due_ms INTEGER NOT NULL,
  PRIMARY KEY (payment_sn, refund_sn)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wallet_dead_letter (
  id INTEGER PRIMARY KEY,
  why TEXT NOT NULL,
  body BLOB NOT NULL,
  created_ms INTEGER NOT NULL
);
"""

logger = logging.getLogger("shop_sandbox.wallet")


class BadCommand(ValueError):
    """The body is no command, or contradicts an earlier command of its number."""


@dataclass(frozen=True, slots=True)
class Command:
    """A debit, or a refund if `refund_sn` is set; `expire_ms` 0 never expires."""

    id: str
    order_sn: str
    payment_sn: str
    refund_sn: str
    user_id: int
    amount_fen: int
    expire_ms: int


class Wallet:
    """The commands' consumer; the answers wait in `wallet_answer` (see `answers.py`)."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self.on_answer: Callable[[], None] = lambda: None  # called after each command

    async def deliver(self, batch: pb.EventBatch) -> pb.DeliverResult:
        """Execute commands in sequence; return the ids of those done. Raises ValueError above 500."""
        if len(batch.cloud_events) > MAX_BATCH:
            raise ValueError(f"at most {MAX_BATCH} events")
        return pb.DeliverResult(
            accepted_ids=[id for body in batch.cloud_events if (id := await self.take(body))]
        )

    async def take(self, body: bytes) -> str:
        """Execute one command; return its id, empty if it has none."""
        now_ms = self._clock_ms()
        try:
            command = parse(body)
            await self._database.run(lambda connection: execute(connection, command, now_ms))
        except BadCommand as bad:
            logger.error("wallet command refused: %s", bad)
            why = str(bad)
            sql = "INSERT INTO wallet_dead_letter (why, body, created_ms) VALUES (?, ?, ?)"
            await self._database.run(lambda connection: connection.execute(sql, (why, body, now_ms)))
            return event_id(body)
        self.on_answer()
        return command.id


def is_command(body: bytes) -> bool:
    """Whether an event is for the wallet."""
    try:
        return str(orjson.loads(body)["type"]).startswith("wallet.")
    except (ValueError, KeyError, TypeError):
        return False


def event_id(body: bytes) -> str:
    """The id of an event that may be invalid otherwise, or ""."""
    try:
        return str(orjson.loads(body)["id"])[:MAX_NUMBER]
    except (ValueError, KeyError, TypeError):
        return ""


def parse(body: bytes) -> Command:
    """The command in a received body. Raises BadCommand."""
    try:
        event = orjson.loads(body)
        kind, data = event["type"], event["data"]
        refund_sn = data["refund_sn"] if kind == REFUND else ""
        expire_ms = data.get("expire_at_ms", 0)
        command = Command(
            event["id"],
            event["subject"],
            data["payment_sn"],
            refund_sn,
            data["user_id"],
            data["amount_fen"],
            expire_ms,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCommand(f"not a command: {error!r}") from error
    texts = [command.id, command.order_sn, command.payment_sn, *([refund_sn] if kind == REFUND else [])]
    numbers = (command.user_id, command.amount_fen, command.expire_ms)
    if kind not in (DEBIT, REFUND) or {type(number) for number in numbers} != {int}:
        raise BadCommand("not a command of the wallet")
    if not all(type(text) is str and 0 < len(text) <= MAX_NUMBER for text in texts):
        raise BadCommand("id, subject and numbers must be short texts")
    if not (0 < command.amount_fen <= MAX_FEN and command.user_id > 0):
        raise BadCommand("user_id and amount_fen must be positive")
    return command


def execute(connection: sqlite3.Connection, command: Command, now_ms: int) -> None:
    """Move the money at most once, and store the answer, in the caller's transaction. Raises BadCommand."""
    refused = _refund(connection, command) if command.refund_sn else _debit(connection, command, now_ms)
    kind = REJECTED if refused else REFUNDED if command.refund_sn else DEBITED
    connection.execute(
        "INSERT INTO wallet_answer (payment_sn, refund_sn, type, body, due_ms) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET type = excluded.type, body = excluded.body, asked = asked + 1,"
        " tries = 0, due_ms = excluded.due_ms",
        (command.payment_sn, command.refund_sn, kind, _answer(command, kind, refused), now_ms),
    )


def _debit(connection: sqlite3.Connection, command: Command, now_ms: int) -> str:
    """Take the money, once; return why not, empty if it was taken."""
    about = (command.user_id, command.amount_fen)
    known = connection.execute(
        "SELECT user_id, amount_fen, refused FROM wallet_debit WHERE payment_sn = ?", (command.payment_sn,)
    ).fetchone()
    if known:
        if known[:2] != about:
            raise BadCommand(f"another user or amount for {command.payment_sn}")
        return str(known[2])
    refused = _take_money(connection, command, now_ms)
    connection.execute(
        "INSERT INTO wallet_debit (payment_sn, user_id, amount_fen, refused) VALUES (?, ?, ?, ?)",
        (command.payment_sn, *about, refused),
    )
    return refused


def _take_money(connection: sqlite3.Connection, command: Command, now_ms: int) -> str:
    if command.expire_ms and now_ms > command.expire_ms:
        return "EXPIRED"
    taken = connection.execute(
        "UPDATE user SET balance_fen = balance_fen - ? WHERE id = ? AND balance_fen >= ?",
        (command.amount_fen, command.user_id, command.amount_fen),
    )
    if not taken.rowcount:
        is_known = connection.execute("SELECT 1 FROM user WHERE id = ?", (command.user_id,)).fetchone()
        return "INSUFFICIENT_BALANCE" if is_known else "UNKNOWN_USER"
    _write_ledger(connection, command, -command.amount_fen, "debit")
    return ""


def _refund(connection: sqlite3.Connection, command: Command) -> str:
    """Give money back, once by `refund_sn` and never more than was taken; return why not.

    A refusal moves no money and is not remembered: the same number may succeed later.
    """
    known = connection.execute(
        "SELECT payment_sn, amount_fen FROM wallet_refund WHERE refund_sn = ?", (command.refund_sn,)
    ).fetchone()
    if known:
        if known != (command.payment_sn, command.amount_fen):
            raise BadCommand(f"another payment or amount for {command.refund_sn}")
        return ""
    debit = connection.execute(
        "SELECT amount_fen - refunded_fen FROM wallet_debit"
        " WHERE payment_sn = ? AND user_id = ? AND refused = ''",
        (command.payment_sn, command.user_id),
    ).fetchone()
    if debit is None:
        return "NOT_DEBITED"
    if command.amount_fen > debit[0]:
        return "MORE_THAN_DEBITED"
    connection.execute(
        "UPDATE wallet_debit SET refunded_fen = refunded_fen + ? WHERE payment_sn = ?",
        (command.amount_fen, command.payment_sn),
    )
    connection.execute(
        "UPDATE user SET balance_fen = balance_fen + ? WHERE id = ?", (command.amount_fen, command.user_id)
    )
    ledger_id = _write_ledger(connection, command, command.amount_fen, "refund")
    connection.execute(
        "INSERT INTO wallet_refund VALUES (?, ?, ?, ?)",
        (command.refund_sn, command.payment_sn, command.amount_fen, ledger_id),
    )
    return ""


def _write_ledger(connection: sqlite3.Connection, command: Command, fen: int, kind: str) -> int | None:
    return connection.execute(
        "INSERT INTO ledger (user_id, payment_sn, amount_fen, kind) VALUES (?, ?, ?, ?)",
        (command.user_id, command.payment_sn, fen, kind),
    ).lastrowid


def _answer(command: Command, kind: str, refused: str) -> bytes:
    data: dict[str, Any] = {
        "payment_sn": command.payment_sn,
        "user_id": command.user_id,
        "amount_fen": command.amount_fen,
    }
    if command.refund_sn:
        data["refund_sn"] = command.refund_sn
    if refused:
        data["reason"] = refused
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"{kind}/{command.refund_sn or command.payment_sn}",
            "source": SERVICE,
            "type": kind,
            "subject": command.order_sn,
            "datacontenttype": "application/json",
            "data": data,
        }
    )
